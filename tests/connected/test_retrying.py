"""Letters on a real store: tried again in their order, dropped, swept, counted, deleted; each has its effect once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import ConflictError
from shared.eventsourced import unit_of_work
from shared.eventsourced.letters import COUNT_OPEN, COUNTED_MAX, count_open
from shared.eventsourced.publishing import lane_of
from tests.connected.support_engine import (
    OpenReplica,
    Replica,
    counted_in_order,
    counting_service,
    eventually,
)
from tests.engine.records import headers_of, ids, order_record, orders, poison

pytestmark = pytest.mark.connected
LANE = lane_of("C-1")


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
