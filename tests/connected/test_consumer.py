"""Hearing on a real store: zombies, poison, retries, lost and repeated messages; every message has its effect once."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared.errors import ConflictError
from shared.eventsourced import unit_of_work
from shared.eventsourced.cache import StateCache
from shared.eventsourced.letters import COUNT_OPEN, COUNTED_MAX, count_open
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.unit_of_work import Batch
from shared.eventsourced.writing import Position, PositionsMoved
from tests.connected.support_engine import (
    OpenReplica,
    Replica,
    counted_in_order,
    counting_service,
    counts,
    eventually,
)
from tests.engine.records import INBOUND, Record, headers_of, order_record

pytestmark = pytest.mark.connected
LANE = lane_of("C-1")


def orders(*sequences: int, customer: str = "C-1") -> list[Record]:
    return [order_record(n, customer) for n in sequences]


def ids(*sequences: int, customer: str = "C-1") -> list[str]:
    return [f"O-{customer}-{n}" for n in sequences]


@pytest.fixture
async def two(open_replica: OpenReplica) -> tuple[Replica, Replica]:
    """Two replicas of a service that counts orders and forgives no repeat."""
    return await open_replica(counting_service()), await open_replica(counting_service())


async def test_a_message_is_counted_once_however_often_and_wherever_it_is_delivered(
    two: tuple[Replica, Replica],
) -> None:
    first, second = two
    await first.consumer.handle(orders(1, 2))
    await second.consumer.handle(orders(1, 2, 3))
    await first.consumer.handle(orders(2, 3, 3, 4))
    assert await counted_in_order(first.pool) == ids(1, 2, 3, 4)


async def test_a_zombies_batch_is_refused_and_nothing_of_it_stays(two: tuple[Replica, Replica]) -> None:
    first, zombie = two
    await zombie.consumer.handle(orders(1))
    await first.consumer.handle(orders(1, 2))
    with pytest.raises(PositionsMoved):
        await zombie.work.run(Batch((), {("order", LANE): (1, 2)}))
    await zombie.consumer.handle([*orders(2), *orders(1, customer="C-2")])
    assert await counts(first.pool) == dict.fromkeys([*ids(1, 2), *ids(1, customer="C-2")], 1)


async def test_a_lane_that_comes_back_from_another_replica_goes_on_where_that_one_stopped(
    two: tuple[Replica, Replica],
) -> None:
    first, second = two
    await first.consumer.handle(orders(1))
    await second.consumer.handle(orders(2, 3))
    await first.consumer.handle(orders(4))
    assert await counted_in_order(first.pool) == ids(1, 2, 3, 4)
    assert first.consumer.gaps == {}


async def test_positions_that_were_set_back_let_everything_be_heard_again(two: tuple[Replica, Replica]) -> None:
    first, second = two
    await first.consumer.handle(orders(1, 2))
    await second.consumer.handle(orders(3))
    await first.pool.execute("DELETE FROM events; UPDATE positions SET sequence = 0")
    first.store.cache = StateCache(1_000_000)
    await first.consumer.handle(orders(1, 2))
    assert await counted_in_order(first.pool) == ids(1, 2)


async def test_repeats_that_are_dropped_by_an_old_picture_are_a_hole_for_the_next_message(
    two: tuple[Replica, Replica],
) -> None:
    replica, consumer = two[0], two[0].consumer
    await consumer.handle(orders(1, 2))
    await consumer.handle(orders(1))  # looks at the positions: the next look is due a moment later
    await replica.pool.execute("DELETE FROM events; UPDATE positions SET sequence = 0")
    replica.store.cache = StateCache(1_000_000)
    await consumer.handle(orders(1, 2))
    assert await counted_in_order(replica.pool) == []
    await consumer.handle(orders(3))
    assert list(consumer.gaps.values()) == [3]
    await consumer.handle(orders(1, 2, 3))
    assert await counted_in_order(replica.pool) == ids(1, 2, 3)
    assert consumer.gaps == {}


async def test_a_look_that_failed_is_made_again(two: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    replica, consumer = two[0], two[0].consumer
    await consumer.handle(orders(1, 2))
    await replica.pool.execute("DELETE FROM events; UPDATE positions SET sequence = 0")
    replica.store.cache = StateCache(1_000_000)
    read, answers = consumer._read_positions, iter([ConnectionResetError("the store is away")])

    async def reading() -> dict[Position, int]:
        for error in answers:
            raise error
        return await read()

    monkeypatch.setattr(consumer, "_read_positions", reading)
    await consumer.handle(orders(1, 2))
    assert await counted_in_order(replica.pool) == ids(1, 2)


async def test_one_batch_heard_by_two_replicas_at_the_same_time_is_counted_once(two: tuple[Replica, Replica]) -> None:
    batch = [record for n in range(1, 101) for record in (order_record(n, "C-1"), order_record(n, "C-2"))]
    await asyncio.gather(*(each.consumer.handle(batch) for each in two))
    assert await counts(two[0].pool) == dict.fromkeys(ids(*range(1, 101)) + ids(*range(1, 101), customer="C-2"), 1)


async def test_a_hole_is_remembered_until_it_is_filled(replica: Replica) -> None:
    await replica.consumer.handle(orders(1, 3))
    assert replica.consumer.gaps == {("order", LANE): 3}
    await replica.consumer.handle(orders(2, 3))
    assert replica.consumer.gaps == {}
    assert [row["originator_version"] for row in await replica.events() if row["originator_id"] == "jar-C-1"] == [
        1,
        2,
        3,
    ]


async def test_a_hole_that_is_filled_in_the_same_batch_is_none(replica: Replica) -> None:
    await replica.consumer.handle(orders(1, 3, 2, 3))
    assert replica.consumer.gaps == {}
    await replica.consumer.handle(orders(6, 4, 5, 8))
    assert replica.consumer.gaps == {("order", LANE): 8}


async def test_without_its_effect_no_position_moves(replica: Replica) -> None:
    """Break the store in the middle of the transaction: facts and position go together."""
    await replica.pool.execute("ALTER TABLE jars ADD CONSTRAINT small CHECK (total_minor < 150)")
    await replica.consumer.handle(orders(1, 2))
    assert (await replica.read_positions())["order", LANE] == 2
    assert await replica.letters_open() == [("order-O-C-1-2@1", "parked")]
    assert [row["originator_id"] for row in await replica.events()] == ["jar-C-1", "tally-all"]


async def test_the_fault_of_a_batch_that_went_to_another_replica_is_shown_no_longer(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replica.pool.execute("ALTER TABLE positions RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await replica.consumer.handle(orders(1))
    replica.consumer.idle()  # between being handed back and coming again
    assert replica.consumer.fault
    monkeypatch.setattr("shared.eventsourced.consumer.REDELIVERY_SECONDS", 0.0)
    replica.consumer.idle()
    assert replica.consumer.fault is None


# ---- poison


def poison(sequence: int, order_id: str = "P", version: int = 1, value: bytes | None = b"no json") -> Record:
    return Record(value, headers_of(f"order-{order_id}@{version}", LANE, sequence))


async def test_poison_is_parked_its_followers_wait_and_others_go_on(replica: Replica) -> None:
    follower = replace(order_record(2), headers=headers_of("order-P@2", LANE, 2))
    await replica.consumer.handle([poison(1), follower, *orders(3)])
    assert await replica.letters_open() == [("order-P@1", "parked"), ("order-P@2", "waiting")]
    rows = await replica.pool.fetch("SELECT order_id FROM coins")
    assert [order_id for (order_id,) in rows] == ids(3)
    late = replace(order_record(4), headers=headers_of("order-P@3", LANE, 4))
    await replica.consumer.handle([late])
    assert (await replica.letters_open())[-1] == ("order-P@3", "waiting")


@pytest.mark.parametrize(
    "record",
    [
        Record(None, headers_of("order-P@1", LANE, 1)),
        Record(b"\xff", headers_of("order-P@1", LANE, 1)),
        Record(b"x" * 2_000_000, headers_of("order-P@1", LANE, 1)),
        Record(b"{}", (*headers_of("order-P@1", LANE, 1), ("note", b"\xff\xfe"))),
        Record(b"{}", (*headers_of("order-P@1", LANE, 1), ("na\x00me", None))),
        Record(b"{}", headers_of("order-P@1", LANE, 1), timestamp=2**62),
        Record(b"{}", headers_of("order-\n@1", LANE, 1)),
        Record(b'{"id": "\\u0000"}', headers_of("order-P@1", LANE, 1)),
    ],
    ids=["null body", "no utf-8", "2 MB", "header bytes", "header name", "far future", "bad id", "nul"],
)
async def test_no_record_stops_what_comes_after_it(replica: Replica, record: Record) -> None:
    await replica.consumer.handle([record, *orders(2)])
    assert [status for _, status in await replica.letters_open()] == ["parked"]
    assert (await replica.read_positions())["order", LANE] == 2
    assert await replica.pool.fetchval("SELECT order_id FROM coins") == "O-C-1-2"


@pytest.mark.parametrize(
    "forged",
    [
        replace(order_record(1), key=None),
        replace(order_record(1), key=b"C-2"),
        replace(order_record(1), headers=(*order_record(1).headers, ("ce_source", b"/somebody"))),
        replace(order_record(1), headers=(*order_record(1).headers, ("ce_lane", b"%d" % (LANE + 1)))),
    ],
    ids=["no key", "another key", "another source", "another lane"],
)
async def test_what_is_not_the_speakers_own_is_parked_and_hides_no_true_message(
    replica: Replica, forged: Record
) -> None:
    await replica.consumer.handle([forged, *orders(1, 2)])
    assert [status for _, status in await replica.letters_open()] == ["parked"]
    assert (await replica.read_positions())["order", LANE] == 2
    assert {row[0] for row in await replica.pool.fetch("SELECT order_id FROM coins")} == {"O-C-1-1", "O-C-1-2"}


async def test_a_message_whose_row_or_fact_cannot_be_written_is_parked_alone(replica: Replica) -> None:
    batch = [
        *orders(1),
        order_record(2, total_minor=2**63),  # no bigint
        replace(order_record(3), value=order_record(3).value.replace(b"O-C-1-3", b"O-\\u0000")),  # type: ignore[union-attr]
        *orders(4),
    ]
    await replica.consumer.handle(batch)
    assert [status for _, status in await replica.letters_open()] == ["parked", "parked"]
    assert (await replica.store.load(await replica.pool.acquire(), {"jar-C-1": replica.service.deciders[0]}))[
        "jar-C-1"
    ].state.total_minor == 200


async def test_a_refused_inbound_message_is_one_letter_with_its_attempts(replica: Replica) -> None:
    stranger = Record(b"{}", (("ce_type", b"com.example.thing"), ("ce_id", b"i-1")), INBOUND)
    await replica.consumer.handle([stranger, stranger])
    await replica.consumer.handle([stranger])
    rows = await replica.pool.fetch("SELECT status, attempts, code, stream FROM dead_letters")
    assert [tuple(row) for row in rows] == [("parked", 2, "invalid", "")]


async def test_the_log_names_the_message_and_what_it_is_about_and_takes_neither_for_the_other(
    replica: Replica,
) -> None:
    unreadable = Record(b"no json", (("ce_type", b"o2c.inbound.Order.v1"), ("ce_id", b"shop-17")), INBOUND)
    ours = replace(poison(1), headers=(*poison(1).headers, ("ce_subject", b"P")))
    with capture_logs() as logged:
        await replica.consumer.handle([unreadable, ours])
    about = [
        {name: entry.get(name) for name in ("message", "subject", "order")}
        for entry in logged
        if entry["event"] == "message parked"
    ]
    assert about == [
        {"message": "shop-17", "subject": None, "order": None},
        {"message": "order-P@1", "subject": "P", "order": None},
    ]


# ---- retries


@pytest.fixture
async def parked(replica: Replica) -> Replica:
    """Order P's three messages of which the first is refused (thirteen coins), so that all are kept."""
    records = [
        replace(order_record(n, total_minor=13 if n == 1 else n), headers=headers_of(f"order-P@{n}", LANE, n))
        for n in (1, 2, 3)
    ]
    await replica.consumer.handle(records)
    assert [status for _, status in await replica.letters_open()] == ["parked", "waiting", "waiting"]
    return replica


async def repair(replica: Replica) -> None:
    """What a correction of the message would do: twelve coins instead of thirteen."""
    await replica.pool.execute(
        "UPDATE dead_letters SET body = replace(convert_from(body, 'UTF8'), '13', '12')::bytea "
        "WHERE message_id = 'order-P@1'"
    )


async def letter_id(replica: Replica, message_id: str) -> int:
    found: int = await replica.pool.fetchval("SELECT id FROM dead_letters WHERE message_id = $1", message_id)
    return found


async def coins(replica: Replica) -> list[int]:
    return [
        int(row["state"].split(b'"amount_minor":')[1].split(b",")[0])
        for row in await replica.events()
        if row["topic"] == "toy.CoinsAdded"
    ]


async def test_a_retry_without_repair_changes_nothing_but_the_attempts(parked: Replica) -> None:
    number = await letter_id(parked, "order-P@1")
    done, reason = await parked.letters.retry(number)
    assert (done, reason) == (0, "thirteen is unlucky")
    assert await parked.pool.fetchval("SELECT attempts FROM dead_letters WHERE id = $1", number) == 2
    assert await parked.events() == []


async def test_a_retry_after_repair_continues_in_order_and_what_comes_later_is_taken_again(parked: Replica) -> None:
    await repair(parked)
    assert await parked.letters.retry(await letter_id(parked, "order-P@1")) == (3, "")
    await parked.consumer.handle([replace(order_record(4, total_minor=4), headers=headers_of("order-P@4", LANE, 4))])
    assert await coins(parked) == [12, 2, 3, 4]
    assert await parked.letters_open() == []


async def test_a_follower_cannot_be_retried_before_its_predecessor(parked: Replica) -> None:
    number = await letter_id(parked, "order-P@2")
    with pytest.raises(ConflictError):
        await parked.letters.retry(number)


async def test_a_dropped_letter_lets_its_followers_go_on(parked: Replica) -> None:
    assert await parked.letters.drop(await letter_id(parked, "order-P@1")) == 2
    assert await coins(parked) == [2, 3]
    with pytest.raises(ConflictError):
        await parked.letters.retry(await letter_id(parked, "order-P@1"))


LETTERS = """
INSERT INTO dead_letters (digest, status, message_id, type, stream, topic, partition, record_offset, headers, body,
                          code, reason, resolved_at)
SELECT decode(md5($1 || $2 || n), 'hex'), $1, 'm', 't', $2 || CASE WHEN $3 THEN n::text ELSE '' END,
       'o2c.order.events', 0, 0, '[]', '', 'invalid', 'x',
       CASE WHEN $1 IN ('done', 'dropped') THEN now() - make_interval(days => $4) END
FROM generate_series(1, $5) n
"""


async def keep(replica: Replica, status: str, stream: str, *, each_its_own: bool, count: int, days: int = 0) -> None:
    """Letters of one stream or of as many."""
    await replica.pool.execute(LETTERS, status, stream, each_its_own, days, count)


async def test_of_very_many_open_letters_only_those_of_a_batch_are_remembered(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of_work, "BLOCKED_KEPT_MAX", 1)
    await keep(replica, "parked", "order-S", each_its_own=True, count=1_000)
    follower = replace(order_record(2), headers=headers_of("order-P@2", LANE, 2))
    await replica.consumer.handle([poison(1), follower, *orders(3)])
    await replica.consumer.handle([replace(order_record(4), headers=headers_of("order-S7@2", LANE, 4)), *orders(5)])
    late = replace(order_record(6), headers=headers_of("order-P@3", LANE, 6))
    await replica.consumer.handle([late])
    waiting = "SELECT stream FROM dead_letters WHERE status = 'waiting' ORDER BY id"
    assert [stream for (stream,) in await replica.pool.fetch(waiting)] == ["order-P", "order-S7", "order-P"]
    rows = await replica.pool.fetch("SELECT order_id FROM coins ORDER BY 1")
    assert [order_id for (order_id,) in rows] == ids(3, 5)
    assert replica.work._blocked == {"order-P"}


async def scans(replica: Replica) -> tuple[int, int]:
    """How often dead letters were read whole, and by an index."""
    sql = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'dead_letters'"
    sequential, by_index = await replica.pool.fetchrow(sql)
    return sequential, by_index


async def test_letters_cost_a_batch_one_look_for_each_of_its_streams(replica: Replica) -> None:
    await keep(replica, "done", "order-S", each_its_own=True, count=20_000)
    await keep(replica, "parked", "order-P", each_its_own=True, count=20_000)
    before = await scans(replica)
    await replica.consumer.handle(orders(1, 2, 3))

    async def looked() -> bool:
        await replica.pool.execute("SELECT pg_stat_force_next_flush()")
        return (await scans(replica))[1] > before[1]

    await eventually(looked)
    sequential, by_index = await scans(replica)
    assert sequential == before[0]
    assert by_index - before[1] == 3  # one look for each stream of the batch


async def test_open_letters_are_counted_to_a_bound_and_without_a_look_at_closed_ones(replica: Replica) -> None:
    await keep(replica, "done", "order-S", each_its_own=True, count=20_000)
    await keep(replica, "parked", "order-P", each_its_own=True, count=3)
    await keep(replica, "waiting", "order-P", each_its_own=False, count=2)
    await replica.pool.execute("ANALYZE dead_letters")
    assert await count_open(replica.pool) == {"parked": 3, "waiting": 2}
    plan = "\n".join(row[0] for row in await replica.pool.fetch(f"EXPLAIN {COUNT_OPEN}"))
    assert "dead_letters_open" in plan
    assert "Seq Scan" not in plan
    await keep(replica, "parked", "order-Q", each_its_own=True, count=COUNTED_MAX)
    assert sum((await count_open(replica.pool)).values()) == COUNTED_MAX


async def test_closed_letters_are_deleted_when_they_are_old_and_open_ones_never(replica: Replica) -> None:
    for status in ("done", "dropped"):
        await keep(replica, status, "old", each_its_own=True, count=2, days=91)
        await keep(replica, status, "young", each_its_own=True, count=2, days=89)
    await keep(replica, "parked", "open", each_its_own=True, count=2)
    await replica.pool.execute("UPDATE dead_letters SET parked_at = now() - interval '1 year'")
    await replica.letters.prune(90)
    left = await replica.pool.fetch("SELECT DISTINCT rtrim(stream, '0123456789') FROM dead_letters ORDER BY 1")
    assert [stream for (stream,) in left] == ["open", "young"]


@pytest.mark.parametrize("at_once", [1, 2, 3, 1_000])
async def test_letters_behind_nothing_are_found_some_at_a_time(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("shared.eventsourced.retrying.SWEPT_MAX", at_once)
    for stream, statuses in {"a": "pww", "b": "ww", "c": "p", "d": "w"}.items():
        for n, status in enumerate(statuses):
            kept = {"p": "parked", "w": "waiting"}[status]
            await keep(replica, kept, stream + "/" * n, each_its_own=False, count=1)
    await replica.pool.execute("UPDATE dead_letters SET stream = rtrim(stream, '/')")
    taken: list[str] = []

    async def retry(letter_id: int) -> None:
        taken.append(await replica.pool.fetchval("SELECT stream FROM dead_letters WHERE id = $1", letter_id))

    monkeypatch.setattr(replica.letters, "retry", retry)
    for _ in range(-(-7 // at_once)):
        await replica.letters.sweep()
    assert taken == ["b", "d"]


async def test_a_hole_that_is_filled_stays_one_while_what_was_skipped_behind_it_is_missing(replica: Replica) -> None:
    position = ("order", int(dict(order_record(1).headers)["ce_lane"]))
    for heard, expected in (((2, 3, 4), {position: 4}), ((1, 2), {position: 4}), ((3, 4), {})):
        await replica.consumer.handle([order_record(n) for n in heard])
        assert replica.consumer.gaps == expected


async def test_a_hole_before_what_nobody_has_said_stays_forgotten(replica: Replica) -> None:
    await replica.consumer.handle(orders(1, 9))
    replica.consumer.gaps.clear()  # as `shared.eventsourced.resending` does, when the speaker says that it ends here
    await replica.consumer.handle(orders(2))
    assert replica.consumer.gaps == {}


async def test_many_retries_at_once_have_the_effect_of_one(open_replica: OpenReplica) -> None:
    replicas = [await open_replica(counting_service()) for _ in range(3)]
    await replicas[0].consumer.handle(
        [poison(1), *(replace(order_record(n), headers=headers_of(f"order-P@{n}", LANE, n)) for n in range(2, 8))]
    )
    await replicas[0].pool.execute("UPDATE dead_letters SET status = 'dropped' WHERE message_id = 'order-P@1'")
    await asyncio.gather(*(each.letters.sweep() for each in replicas for _ in range(3)), return_exceptions=True)
    await replicas[0].letters.sweep()
    assert await counted_in_order(replicas[0].pool) == ids(*range(2, 8))
    assert await replicas[0].letters_open() == []


async def test_a_retry_whose_followers_are_done_by_another_meanwhile_has_nothing_to_complain_of(
    parked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repair(parked)
    first, second = await letter_id(parked, "order-P@1"), await letter_id(parked, "order-P@2")
    tried = parked.letters._try

    async def try_second(letter: Any) -> str:
        if letter["id"] == second:
            monkeypatch.undo()
            assert await parked.letters.retry(second) == (2, "")  # the sweep of another replica, say
        return await tried(letter)

    monkeypatch.setattr(parked.letters, "_try", try_second)
    assert await parked.letters.retry(first) == (1, "")
    assert await coins(parked) == [12, 2, 3]
    assert await parked.letters_open() == []


async def test_a_retry_passes_over_no_letter_that_another_has_tried_in_vain_meanwhile(
    parked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repair(parked)
    first, second = await letter_id(parked, "order-P@1"), await letter_id(parked, "order-P@2")
    tried = parked.letters._try

    async def try_first(letter: Any) -> str:
        failure = await tried(letter)
        await parked.pool.execute("UPDATE dead_letters SET status = 'parked', reason = 'r' WHERE id = $1", second)
        return failure

    monkeypatch.setattr(parked.letters, "_try", try_first)
    assert await parked.letters.retry(first) == (1, "r")
    assert await coins(parked) == [12]
    monkeypatch.undo()
    assert await parked.letters.retry(second) == (2, "")
    assert await coins(parked) == [12, 2, 3]


async def test_a_letter_is_dropped_though_another_is_first_with_those_behind_it(
    parked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await letter_id(parked, "order-P@1"), await letter_id(parked, "order-P@2")
    retry = parked.letters.retry

    async def come_late(letter_id: int) -> tuple[int, str]:
        assert letter_id == second
        await retry(letter_id)
        return await retry(letter_id)

    monkeypatch.setattr(parked.letters, "retry", come_late)
    assert await parked.letters.drop(first) == 0
    assert await coins(parked) == [2, 3]


async def test_a_sweep_leaves_to_others_what_they_take_care_of(
    parked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked.pool.execute("UPDATE dead_letters SET status = 'dropped' WHERE message_id = 'order-P@1'")
    retry = parked.letters.retry

    async def come_late(letter_id: int) -> tuple[int, str]:
        await retry(letter_id)
        return await retry(letter_id)

    monkeypatch.setattr(parked.letters, "retry", come_late)
    await parked.letters.sweep()
    assert await coins(parked) == [2, 3]


async def test_a_letter_done_by_another_stays_done_when_a_late_retry_fails(parked: Replica) -> None:
    await repair(parked)
    number = await letter_id(parked, "order-P@1")
    results: list[Any] = await asyncio.gather(*(parked.letters.retry(number) for _ in range(4)), return_exceptions=True)
    assert sum(result[0] for result in results if isinstance(result, tuple)) == 3
    rows = await parked.pool.fetch("SELECT DISTINCT status FROM dead_letters")
    assert [status for (status,) in rows] == ["done"]
    assert await coins(parked) == [12, 2, 3]
