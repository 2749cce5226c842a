"""Rows of one key merge by column; the SQL rules are compared with these in tests/connected/test_store.py."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.eventsourced.projecting import Column, StateProjection, Table
from shared.eventsourced.rows import Rows, merge_rows, prepared, state_rows
from tests.engine.toy import Jar, jar

MERGES = ("set", "add", "first", "min", "max")
ALL = Table("merged", (Column("k", "text"),), tuple(Column(f"c_{m}", "bigint", m) for m in MERGES))  # type: ignore[arg-type]

numbers = st.none() | st.integers(-5, 5)
rows = st.lists(st.tuples(st.sampled_from("ab"), *[numbers] * 5), max_size=12)


@pytest.mark.parametrize(
    ("merge", "old", "new", "merged"),
    [("set", 1, 2, 2), ("add", 1, 2, 3), ("first", 1, 2, 1), ("min", 2, 1, 1), ("min", 1, 2, 1), ("max", 1, 2, 2)],
)
def test_two_rows_of_a_key_become_one(merge: Any, old: int, new: int, merged: int) -> None:
    table = Table("t", (Column("k", "text"),), (Column("c", "bigint", merge),))
    assert merge_rows(table, [("a", old), ("a", new)]) == [("a", merged)]
    assert merge_rows(table, [("a", old), ("a", None)]) == [("a", old)]
    assert merge_rows(table, [("a", None), ("a", new)]) == [("a", new)]
    assert merge_rows(table, [("a", old), ("b", new)]) == [("a", old), ("b", new)]


@given(rows, st.integers(0, 12))
def test_merging_in_two_steps_equals_merging_at_once(given_: list[Any], cut: int) -> None:
    halves = merge_rows(ALL, given_[:cut]) + merge_rows(ALL, given_[cut:])
    assert sorted(merge_rows(ALL, halves), key=str) == sorted(merge_rows(ALL, given_), key=str)


@given(st.permutations([("a", None, n, None, n, n) for n in (1, 2, None, 5)]))
def test_sums_and_extremes_do_not_depend_on_the_order(given_: list[Any]) -> None:
    assert merge_rows(ALL, given_) == [("a", None, 8, None, 1, 5)]


KEYS = Table("keys", (Column("k", "text"),), ())


def test_one_statement_writes_all_tables_and_takes_one_array_per_column() -> None:
    keys, all_ = Rows(KEYS, [("a",), ("b",)], replace=False), Rows(ALL, [("a", 1, 2, None, 4, 5)], replace=False)
    both = prepared([all_, keys])
    assert both == prepared([keys, all_]), "one statement for the same tables, in whatever order they come"
    assert both.arrays == ('{"a","b"}', '{"a"}', "{1}", "{2}", "{NULL}", "{4}", "{5}")
    first, second = both.inserts.split("), t2 AS (")
    assert first == (
        ", t1 AS (INSERT INTO keys (k) SELECT unnest($1::text::text[]) FROM written ON CONFLICT (k) DO NOTHING"
    )
    assert "INSERT INTO merged AS t (k, c_set, " in second
    assert "SELECT unnest($2::text::text[]), unnest($3::text::bigint[]), unnest($4::text::bigint[]), " in second
    assert prepared([]) == ("", ())


def test_a_state_without_a_row_writes_none_and_the_key_has_no_prefix() -> None:
    projection = StateProjection(ALL, jar, lambda key, state: (key, state.total_minor) if state.total_minor else None)
    assert state_rows(projection, [("jar-C-1", Jar(5), 0), ("jar-C-2", Jar(), 0)]) == [("C-1", 5)]
