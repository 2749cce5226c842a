"""One batch, one transaction: races, numbers, read rows, snapshots of states, and as few statements as promised."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from shared.errors import DomainError
from shared.eventsourced.cache import StateCache
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.rebuilding import rebuild
from shared.eventsourced.store import Store
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.work import Work
from tests.connected.support_engine import Database, OpenReplica, Replica
from tests.engine.records import order_record
from tests.engine.toy import NUMBERED, AddCoins, Count, Counted, ReceiptWritten, Tally, WriteReceipt, jar, toy_service

pytestmark = pytest.mark.connected


def add(customer: str, order: str, amount: int = 1) -> To[AddCoins]:
    return To(jar, customer, AddCoins(customer, order, amount))


async def total(replica: Replica, customer: str = "C") -> int:
    state, _ = await replica.queue.state(jar, customer)
    return int(state.total_minor)


async def test_of_two_writers_at_once_one_is_first_and_both_end_up_right(open_replica: OpenReplica) -> None:
    replicas = [await open_replica() for _ in range(3)]
    await asyncio.gather(*(r.do(add("C", f"O-{i}-{n}")) for n in range(20) for i, r in enumerate(replicas)))
    assert await total(replicas[0]) == 60
    versions = [e["originator_version"] for e in await replicas[0].events() if e["originator_id"] == "jar-C"]
    assert versions == list(range(1, 61))
    assert sum(r.work.conflicts for r in replicas) > 0


async def test_many_writers_of_one_stream_all_get_their_turn(open_replica: OpenReplica) -> None:
    replicas = [await open_replica() for _ in range(4)]
    await asyncio.gather(*(r.do(add("C", f"O-{i}-{n}")) for n in range(30) for i, r in enumerate(replicas)))
    assert await total(replicas[0]) == 120


async def test_a_cache_that_another_writer_outdated_is_not_believed_not_even_for_nothing(
    open_replica: OpenReplica,
) -> None:
    here, there = await open_replica(), await open_replica()
    await here.do(add("C", "O-1"))
    await there.do(add("C", "O-2"))
    work = await here.do(add("C", "O-2"))  # the stale state does not know this order
    assert not work.facts
    assert work.after[0].total_minor == 2
    await there.do(add("C", "O-3"))
    await here.do(add("C", "O-4"))
    assert await total(there) == 4


async def test_a_reaction_on_a_cached_stream_that_was_outdated_is_decided_again(open_replica: OpenReplica) -> None:
    here, there = await open_replica(), await open_replica()
    for n in range(4):
        await (here, there)[n % 2].do(add(f"C-{n}", f"O-{n}"))
    versions = [e["originator_version"] for e in await here.events() if e["originator_id"] == "tally-all"]
    assert versions == [1, 2, 3, 4]


door: Decider[Any, Any, Any] = Decider(
    "door",
    Tally(),
    lambda state, command: [] if state.count else [Counted(command.customer_id)],
    lambda state, event: Tally(state.count + 1),
    (Counted,),
)


def _lock_once(state: Tally, command: Count) -> Sequence[Counted]:
    if state.count:
        raise RuntimeError("a lock is locked before its door was closed")
    return [Counted(command.customer_id)]


lock = replace(door, name="lock", decide=_lock_once)


def _lock_what_is_closed(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
    return [
        To(lock, f.fact.customer_id, Count(f.fact.customer_id)) for f in facts if f.originator_id.startswith("door")
    ]


async def test_nothing_fails_for_having_read_two_streams_while_another_writer_changed_both(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = toy_service(deciders=(door, lock), reactions=_lock_what_is_closed, says={}, projections=())
    here, there = await open_replica(service), await open_replica(service)
    load, close = here.store.load, To(door, "D", Count("D"))

    async def overtaken(connection: Any, wanted: Any) -> Any:
        loaded = await load(connection, wanted)
        if "door-D" in wanted:
            await there.do(close)  # so the door is seen as it was before this, and the lock as it is after it
        return loaded

    monkeypatch.setattr(here.store, "load", overtaken)
    work = await here.do(close)
    assert not work.facts
    assert len(await here.events()) == 2


async def test_a_work_that_is_refused_leaves_nothing_and_the_rest_of_its_batch_is_committed(replica: Replica) -> None:
    works = [Work([add("A", "O-1")]), Work([add("A", "O-2"), add("A", "O-3", 13)]), Work([add("B", "O-4")])]
    await replica.work.run(Batch(works))
    assert [type(work.error) for work in works] == [type(None), DomainError, type(None)]
    rows = await replica.pool.fetch("SELECT customer_id, total_minor FROM jars ORDER BY 1")
    assert [tuple(row) for row in rows] == [("A", 1), ("B", 1)]


async def test_what_fails_in_the_database_is_not_remembered_as_if_it_had_happened(replica: Replica) -> None:
    await replica.pool.execute("ALTER TABLE jars ADD CONSTRAINT small CHECK (total_minor < 2)")
    await replica.do(add("C", "O-1"))
    with pytest.raises(asyncpg.CheckViolationError):
        await replica.do(add("C", "O-2"))
    assert await total(replica) == 1
    assert len(await replica.events()) == 2


async def test_numbers_are_gapless_with_four_writers_and_forced_rollbacks(open_replica: OpenReplica) -> None:
    replicas = [await open_replica(toy_service(series=NUMBERED)) for _ in range(4)]

    async def fail(_: Any) -> None:
        raise RuntimeError("rolled back on purpose")

    async def write(replica: Replica, n: int) -> None:
        work = Work([To(jar, f"C-{n % 3}", WriteReceipt("C", str(n)))])
        if n % 5 == 0:
            with pytest.raises(RuntimeError):
                await replica.work.run(Batch([work], finish=fail))
        else:
            await replica.work.run(Batch([work]))

    await asyncio.gather(*(write(replicas[n % 4], n) for n in range(60)))
    states = [(await replicas[0].queue.state(jar, f"C-{n}"))[0] for n in range(3)]
    numbers = sorted(number for state in states for number in state.numbers)
    assert numbers == [f"R-2026-{n:06d}" for n in range(1, 49)]
    assert await replicas[0].pool.fetchval("SELECT last FROM number_series") == 48


async def test_who_wants_no_number_does_not_set_back_what_others_took_meanwhile(open_replica: OpenReplica) -> None:
    here, there = [await open_replica(toy_service(series=NUMBERED)) for _ in range(2)]

    def receipt(n: int) -> To[WriteReceipt]:
        return To(jar, f"C-{n}", WriteReceipt("C", str(n)))

    await here.do(receipt(1))
    await there.do(receipt(2))
    await there.do(receipt(3))
    await here.do(add("C-1", "O-1"))
    assert await here.pool.fetchval("SELECT last FROM number_series") == 3
    await here.do(receipt(4))
    state, _ = await here.queue.state(jar, "C-4")
    assert state.numbers == ("R-2026-000004",)


async def test_of_two_series_of_which_others_took_one_both_go_on_in_one_more_question(
    open_replica: OpenReplica,
) -> None:
    by_customer = replace(NUMBERED[ReceiptWritten], series=lambda fact: f"R-{fact.customer_id}")
    service = toy_service(series={ReceiptWritten: by_customer})
    here, there = await open_replica(service), await open_replica(service)

    def receipt(customer: str, reference: str) -> To[WriteReceipt]:
        return To(jar, customer, WriteReceipt(customer, reference))

    await here.do(receipt("A", "1"), receipt("B", "1"))
    await there.do(receipt("B", "2"))
    await here.do(receipt("A", "2"), receipt("B", "3"))
    assert dict(await here.pool.fetch("SELECT series, last FROM number_series")) == {"R-A": 2, "R-B": 3}
    assert here.work.conflicts == 0


async def test_a_lane_is_counted_without_holes_over_rollbacks_and_writers(open_replica: OpenReplica) -> None:
    replicas = [await open_replica() for _ in range(2)]

    async def fail(_: Any) -> None:
        raise RuntimeError("rolled back on purpose")

    for n in range(10):
        with pytest.raises(RuntimeError):
            await replicas[0].work.run(Batch([Work([add("C", f"X-{n}")])], finish=fail))
        await replicas[n % 2].do(add("C", f"O-{n}"))
    sequences = [e["sequence"] for e in await replicas[0].events() if e["lane"] is not None]
    assert sequences == list(range(1, 11))
    assert await replicas[0].pool.fetchval("SELECT max(head) FROM lanes") == 10


async def test_read_tables_made_anew_are_those_that_were_written_along(replica: Replica) -> None:
    for n in range(30):
        await replica.do(add(f"C-{n % 4}", f"O-{n % 20}", n % 10))
    tables = ("SELECT * FROM jars ORDER BY 1", "SELECT * FROM coins ORDER BY 1")
    before = [await replica.pool.fetch(table) for table in tables]
    await replica.pool.execute("UPDATE jars SET total_minor = 0; DELETE FROM coins WHERE amount_minor > 5")
    async with replica.pool.acquire() as connection:
        assert await rebuild(connection, replica.service) == len(await replica.events())
    assert [await replica.pool.fetch(table) for table in tables] == before


async def test_a_row_says_since_when_it_is_in_its_stage_by_the_instant_that_was_recorded(replica: Replica) -> None:
    sizes: list[tuple[str, datetime]] = []
    recorded: list[datetime] = []
    for number in range(5):
        work = await replica.do(add("C", f"O-{number}"))
        recorded.append(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=work.facts[0].meta.at))
        sizes.append(tuple(await replica.pool.fetchrow("SELECT size, size_at FROM jars")))
    small, large = ("small", recorded[0]), ("large", recorded[2])
    assert sizes == [small, small, large, large, large]
    await replica.pool.execute("UPDATE jars SET size_at = now()")
    async with replica.pool.acquire() as connection:
        await rebuild(connection, replica.service)
    assert tuple(await replica.pool.fetchrow("SELECT size, size_at FROM jars")) == large


async def test_a_batch_of_five_hundred_takes_as_many_statements_as_one_of_one(
    replica: Replica, database: Database
) -> None:
    customers = list({lane_of(f"C-{n}"): f"C-{n}" for n in range(500)}.values())
    sent: list[str] = []
    pool = await asyncpg.create_pool(database.dsn, min_size=1, max_size=1, init=lambda c: _log(c, sent))
    replica.consumer._work = UnitOfWork(replica.service, pool, replica.store, on_commit=lambda appended: None)
    counted = []
    for records in (
        [order_record(1, customers[0])],  # the first one also prepares statements
        [order_record(1, customers[1])],
        [order_record(n, customer) for n in range(1, 13) for customer in customers[2:44]],
    ):
        sent.clear()
        await replica.consumer.handle(records)
        counted.append([statement for statement in sent if "typeinfo" not in statement and "'jit'" not in statement])
    await pool.close()
    assert len(counted[2]) == len(counted[1]), f"{counted[1]} but {counted[2]}"
    # Snapshots, what is named, what reactions lead to, the writing, and asyncpg's own reset, which our pools leave out.
    assert len(counted[1]) == 5, counted[1]
    assert len(await replica.events()) == 2 * (2 + 504)


async def _log(connection: Any, sent: list[str]) -> None:
    """Note what PostgreSQL is asked over this connection."""
    connection.add_query_logger(lambda query: sent.append(query.query))


async def test_a_state_survives_the_loss_of_every_cache(replica: Replica) -> None:
    await replica.do(add("C", "O-1"), add("C", "O-2"))
    async with replica.pool.acquire() as connection:
        found = await Store(StateCache(0)).load(connection, {"jar-C": jar, "jar-none": jar})
    assert (found["jar-C"].state.total_minor, found["jar-C"].version) == (2, 2)
    assert (found["jar-none"].state, found["jar-none"].version) == (jar.initial, 0)
