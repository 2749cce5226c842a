"""Lanes, faults, the cache, what is asked again, migration files: the small parts the engine rests on."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.credit import CreditApproved
from shared.contracts.shape import PROBLEMS_MAX, problems_of
from shared.errors import ConcurrencyError, ContractError, DomainError, UnavailableError, in_words
from shared.eventsourced.cache import ENTRY_BYTES, Cached, StateCache
from shared.eventsourced.consumer import REBALANCE_MS_MAX, heartbeat_ms
from shared.eventsourced.faults import isolating, passes, unavailable
from shared.eventsourced.migrating import ENGINE_MIGRATIONS, MigrationError, migration_files
from shared.eventsourced.publishing import LANES, lane_of, same
from shared.eventsourced.relay import instant_text
from shared.eventsourced.resending import ASK_AGAIN_SECONDS, PATIENCE_SECONDS, Stalled
from shared.tracing import child_of
from tests.engine.records import body_of, placed
from tests.engine.toy import CoinsAdded

# ---- lanes are a stored contract: these values never change


@pytest.mark.parametrize(
    ("key", "lane"), [("", 0), ("C-1", 30), ("C-2", 20), ("customer-42", 5), ("Zoë", 26), ("客", 26)]
)
def test_the_lane_of_a_key_is_pinned(key: str, lane: int) -> None:
    assert lane_of(key) == lane


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KafkaConnectionError("refused"), "KafkaConnectionError: refused"),
        (OSError("disk"), "OSError: disk"),
        (TimeoutError(), "TimeoutError: no answer"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_error_says_its_kind_once(error: Exception, words: str) -> None:
    assert in_words(error) == words


@given(st.text(st.characters(codec="utf-8")))
def test_every_key_has_one_of_48_lanes(key: str) -> None:
    assert LANES == 48
    assert 0 <= lane_of(key) < 48


def test_a_message_has_the_facts_fields_of_the_same_names() -> None:
    message = same(CreditApproved).of(CoinsAdded("C-1", "O-1", 5, "EUR"))
    assert (message.customer_id, message.order_id, message.amount_minor, message.currency) == ("C-1", "O-1", 5, "EUR")  # type: ignore[attr-defined]


# ---- faults


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnavailableError("this database is a copy"), "this database is a copy"),
        (ConcurrencyError("other writers were always first"), "other writers were always first"),
        (ConnectionResetError("by peer"), "the store does not answer: ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_caller_is_told_what_is_the_matter(error: Exception, told: str) -> None:
    found = unavailable(error)
    assert isinstance(found, UnavailableError)
    assert found.message == told


def test_an_error_that_never_passes_is_told_as_it_is() -> None:
    error = DomainError("not allowed")
    assert unavailable(error) is error


def sqlstate(code: str) -> Exception:
    return asyncpg.PostgresError.new({"C": code, "M": "as if"})


@pytest.mark.parametrize(
    "error",
    [
        *map(sqlstate, ("08006", "25P03", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030", "XX000")),
        OSError(),
        TimeoutError(),
        KafkaConnectionError(),
        ConcurrencyError(""),
        UnavailableError(""),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionResetError(),
        asyncpg.InvalidPasswordError(""),
        asyncpg.InvalidAuthorizationSpecificationError(""),
    ],
)
def test_what_is_of_the_moment_passes(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        *map(sqlstate, ("22003", "22021", "23505", "23514", "42P01", "54000")),
        asyncpg.DataError("out of range"),
        DomainError(""),
        ContractError([]),
        ValueError(),
        KeyError(),
        AssertionError(),
    ],
)
def test_what_is_of_the_data_never_passes(error: Exception) -> None:
    assert not passes(error)


@given(st.sets(st.integers(0, 30)), st.integers(1, 30))
def test_bad_apples_are_found_and_all_others_run_once_in_order(bad: set[int], count: int) -> None:
    done: list[int] = []
    spoiled: list[int] = []

    async def run(items: Sequence[int]) -> None:
        if bad & set(items):
            raise ValueError
        done.extend(items)

    async def spoil(item: int, _: Exception) -> None:
        spoiled.append(item)

    asyncio.run(isolating(range(count), run, spoil))
    assert done == [n for n in range(count) if n not in bad]
    assert spoiled == [n for n in range(count) if n in bad]


async def test_a_passing_fault_is_raised_and_nothing_is_spoiled() -> None:
    async def run(_: Sequence[int]) -> None:
        raise OSError

    async def spoil(_: int, error: Exception) -> None:
        raise AssertionError from error

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        await isolating([1, 2], run, spoil)


# ---- the cache


def test_the_least_recently_used_state_goes_first() -> None:
    cache = StateCache(2 * ENTRY_BYTES)
    for name in ("a", "b"):
        cache.put(name, Cached(name, 1, 0, 0))
    cache.get("a")
    cache.put("c", Cached("c", 1, 0, 0))
    assert (cache.get("b"), len(cache), cache.hits, cache.misses) == (None, 2, 1, 1)
    assert cache.get("a") == Cached("a", 1, 0, 0)


def test_an_older_state_never_replaces_a_newer_one() -> None:
    cache = StateCache(2 * ENTRY_BYTES)
    cache.put("a", Cached("new", 2, 0, 0))
    cache.put("a", Cached("old", 1, 0, 0))
    assert cache.get("a") == Cached("new", 2, 0, 0)


def test_a_large_state_takes_the_place_of_many() -> None:
    cache = StateCache(10 * ENTRY_BYTES)
    for name in "abcdefgh":
        cache.put(name, Cached(name, 1, 0, 0))
    cache.put("a", Cached("a", 2, 50 * ENTRY_BYTES, 7 * ENTRY_BYTES))
    assert (len(cache), cache.bytes) == (3, 10 * ENTRY_BYTES)
    assert cache.get("g") is not None
    cache.put("i", Cached("i", 1, 0, 20 * ENTRY_BYTES))
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_cache_of_no_bytes_keeps_none() -> None:
    cache = StateCache(0)
    cache.put("a", Cached("a", 1, 0, 0))
    assert (len(cache), cache.bytes) == (0, 0)


# ---- asking again

LANE = ("order", 3)


def test_a_lane_that_stands_still_behind_its_head_is_asked_for_after_some_patience() -> None:
    stalled = Stalled()
    assert stalled.to_ask({LANE: 4}, {LANE: 9}, 100.0) == {}
    assert stalled.to_ask({LANE: 4}, {LANE: 9}, 100.0 + PATIENCE_SECONDS - 0.01) == {}
    assert stalled.to_ask({LANE: 4}, {LANE: 9}, 100.0 + PATIENCE_SECONDS) == {LANE: 5}
    assert stalled.to_ask({LANE: 4}, {LANE: 9}, 100.0 + PATIENCE_SECONDS + ASK_AGAIN_SECONDS - 0.01) == {}
    assert stalled.to_ask({LANE: 4}, {LANE: 9}, 100.0 + PATIENCE_SECONDS + ASK_AGAIN_SECONDS) == {LANE: 5}


def test_a_lane_that_moves_is_not_asked_for() -> None:
    stalled = Stalled()
    for second in range(20):
        assert stalled.to_ask({LANE: second}, {LANE: 100}, float(second)) == {}


def test_a_lane_that_caught_up_begins_its_patience_anew() -> None:
    stalled = Stalled()
    stalled.to_ask({LANE: 4}, {LANE: 9}, 0.0)
    assert stalled.to_ask({LANE: 9}, {LANE: 9}, 5.0) == {}
    assert stalled.to_ask({LANE: 9}, {LANE: 10}, 6.0) == {}
    assert stalled.to_ask({LANE: 9}, {LANE: 10}, 6.0 + PATIENCE_SECONDS) == {LANE: 10}


def test_a_lane_that_was_never_heard_is_asked_for_from_its_first_message() -> None:
    stalled = Stalled()
    stalled.to_ask({}, {LANE: 2}, 0.0)
    assert stalled.to_ask({}, {LANE: 2}, PATIENCE_SECONDS) == {LANE: 1}


# ---- migration files


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("SELECT 1")
    return folder


def test_migrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "1002_second.sql", "1001_first.sql", "README.md")
    assert [number for number, _ in migration_files((folder, ENGINE_MIGRATIONS))][:1] == [1]
    assert [path.name for number, path in migration_files([folder])] == ["1001_first.sql", "1002_second.sql"]


@pytest.mark.parametrize("name", ["1_x.sql", "1001-x.sql", "1001_X.sql", "x.sql"])
def test_a_migration_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MigrationError):
        migration_files([write(tmp_path / "a", name)])


def test_a_number_used_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError):
        migration_files([write(tmp_path / "a", "1001_a.sql"), write(tmp_path / "b", "1001_b.sql")])


# ---- shapes, instants, traces


def test_a_body_of_the_right_shape_has_no_problems() -> None:
    assert problems_of(body_of(placed()), type(placed())) == []


def test_no_more_problems_are_listed_than_people_read() -> None:
    body = body_of({"lines": [{}] * 1_000})
    assert len(problems_of(body, type(placed()))) == PROBLEMS_MAX


def test_an_instant_is_written_with_its_microseconds_in_utc() -> None:
    assert instant_text(1_700_000_000_000_042) == b"2023-11-14T22:13:20.000042Z"


def test_a_child_span_stays_in_its_trace_and_is_another_one() -> None:
    parent = child_of("")
    child = child_of(parent)
    assert child[:36] == parent[:36]
    assert child != parent
    assert len(child) == len(parent) == 55


# ---- groups


@pytest.mark.parametrize("session_ms", [2_000, 6_000, 30_000, 300_000])
def test_whoever_is_in_a_group_learns_that_it_changes_before_the_group_goes_on_without_them(session_ms: int) -> None:
    assert 3 * heartbeat_ms(session_ms) <= min(session_ms, REBALANCE_MS_MAX)
