"""Hearing on a real store: zombies, poison, lost and repeated messages; every message has its effect once."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared.eventsourced.cache import StateCache
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.unit_of_work import Batch
from shared.eventsourced.writing import Position, PositionsMoved
from tests.connected.support_engine import (
    OpenReplica,
    Replica,
    counted_in_order,
    counting_service,
    counts,
)
from tests.engine.records import INBOUND, Record, headers_of, ids, order_record, orders, poison

pytestmark = pytest.mark.connected
LANE = lane_of("C-1")


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


# ---- poison


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
