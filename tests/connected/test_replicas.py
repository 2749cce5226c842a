"""Two replicas of a service share its work: only writing is one at a time, all before it is done side by side."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from o2c.bench.orders import customers, generate
from o2c.documents.flow import NAMES, load_services
from shared.contracts.catalogue import SPEAKERS
from shared.eventsourced.migrating import migrate
from shared.eventsourced.publishing import LANES, lane_of
from shared.eventsourced.service import Service
from shared.eventsourced.store import connect_pool
from shared.settings import Settings
from tests.conftest import CreateDatabase
from tests.connected.support_engine import (
    OpenReplica,
    Replica,
    counting_service,
    eventually,
    receipting_service,
    waiting_to_write,
)
from tests.engine.records import Record, order_record
from tests.whole_cycle import WholeCycle

pytestmark = pytest.mark.connected

RECORDS = 50
CUSTOMERS = ("C-1", "C-2")
"""Of two lanes: as with partitions, none belongs to two replicas."""
PATIENCE_SECONDS = 8.0
"""Less than a session of ours may hold a lock without asking anything."""
ORDERS = 40


async def _side_by_side(replicas: Sequence[Replica], batches: Sequence[Sequence[Record]]) -> None:
    """Another session writes meanwhile, until all replicas have come to their last statement, each with its batch."""
    async with asyncio.TaskGroup() as hearing, replicas[0].pool.acquire() as another, another.transaction():
        await another.execute("SELECT lock_store()")
        for batch, each in zip(batches, replicas, strict=True):
            hearing.create_task(each.consumer.handle(list(batch)))
        waiting = await eventually(lambda: waiting_to_write(replicas[1].pool, len(replicas)), PATIENCE_SECONDS)
    assert all(query.startswith("WITH written AS") for query in waiting), waiting


@pytest.mark.parametrize("service", [counting_service(), receipting_service()], ids=["plain", "numbered"])
async def test_replicas_come_to_their_last_statement_while_another_writes_and_do_nothing_twice(
    open_replica: OpenReplica, service: Service
) -> None:
    """Numbers are taken in turn: who was overtaken asks once more, with what it has loaded and decided."""
    replicas = [await open_replica(service) for _ in range(2)]
    await _side_by_side(
        replicas, [[order_record(n, customer) for n in range(1, RECORDS + 1)] for customer in CUSTOMERS]
    )
    assert [each.work.conflicts for each in replicas] == [0, 0]
    assert len(await replicas[0].events()) == 2 * RECORDS


# ---- the six services, with what they hear of real orders


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return load_services(Settings())


@pytest.fixture(scope="module")
def heard(services: dict[str, Service]) -> dict[str, list[Record]]:
    """What each service hears of orders of four lines, from placed to paid."""
    orders = generate(ORDERS, seed=1)
    cycle = WholeCycle(services, orders)
    cycle.play(customers(ORDERS), orders)
    return cycle.heard


@asynccontextmanager
async def _two(service: Service, address: str) -> AsyncIterator[list[Replica]]:
    """Two replicas of a service, whose database is new."""
    connection = await asyncpg.connect(address)
    await migrate(connection, service.migrations)
    await connection.execute(
        "INSERT INTO positions (speaker, lane) SELECT s, l FROM unnest($1::text[]) s, generate_series(0, $2) l",
        list(SPEAKERS),
        LANES - 1,
    )
    await connection.close()
    pools = [await connect_pool(address) for _ in range(2)]
    try:
        yield [Replica(service, pool) for pool in pools]
    finally:
        for pool in pools:
            pool.terminate()


@pytest.mark.parametrize("name", NAMES)
async def test_two_replicas_of_a_service_never_decide_again_for_each_other_unless_it_hears_alone(
    fresh_database: CreateDatabase, services: dict[str, Service], heard: dict[str, list[Record]], name: str
) -> None:
    """As two partitions share it out. What must be decided again is done twice, and so replicas bring nothing."""
    service = services[name]
    halves = [[record for record in heard[name] if lane_of((record.key or b"").decode()) % 2 == n] for n in (0, 1)]
    assert min(map(len, halves)) > ORDERS / 2
    async with _two(service, await fresh_database(name)) as replicas:
        await _side_by_side(replicas, halves)
        conflicts = sum(each.work.conflicts for each in replicas)
        assert await replicas[0].letters_open() == []
    assert (conflicts > 0) == service.hears_alone, f"{conflicts} times a batch was decided again"
    assert service.hears_alone == (name == "fulfillment")
