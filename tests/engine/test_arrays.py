"""Array literals as PostgreSQL writes them itself; what the server reads back is tried in the connected tests."""

from datetime import UTC, date, datetime

import pytest

from shared.eventsourced.arrays import array


@pytest.mark.parametrize(
    ("values", "kind", "literal"),
    [
        ([], "text", "{}"),
        (["a", None, "NULL", ""], "text", '{"a",NULL,"NULL",""}'),
        (['say "x"', "back\\slash", "{a,b}"], "text", '{"say \\"x\\"","back\\\\slash","{a,b}"}'),
        ([""], "text", '{""}'),
        ([None], "text", "{NULL}"),
        (["a\0b", 'c"'], "text", '{"a\0b","c\\""}'),  # which PostgreSQL refuses: no two elements
        (["a\0b"], "text", '{"a\0b"}'),
        (['{"k":"v"}'], "jsonb", '{"{\\"k\\":\\"v\\"}"}'),
        ([1, None, -5], "bigint", "{1,NULL,-5}"),
        ([True, False], "boolean", "{True,False}"),
        ([date(2026, 3, 31)], "date", "{2026-03-31}"),
        ([datetime(2026, 3, 31, 12, tzinfo=UTC)], "timestamptz", "{2026-03-31 12:00:00+00:00}"),
    ],
)
def test_a_column_becomes_a_literal(values: list[object], kind: str, literal: str) -> None:
    assert array(values, kind) == literal
