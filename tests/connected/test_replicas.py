"""Two replicas of a service are faster than one, where what takes the time can be shared: waiting for the database."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from o2c.bench.slow_line import slow_line
from shared.eventsourced.publishing import LANES, lane_of
from shared.eventsourced.service import Service
from shared.eventsourced.store import connect_pool
from tests.connected.support_engine import SERVICE, CreateToyDatabase, Replica, counting_service, receipting_service
from tests.engine.records import Record, body_of, headers_of, placed

pytestmark = pytest.mark.connected

LINE_SECONDS = 0.01
"""Each way: a database in another building. Beside it, what this machine computes does not matter."""
BATCHES = 20
RECORDS = 50
KEYS = {lane_of(f"C-{n}"): f"C-{n}" for n in range(1_000)}
"""For each lane a key of it."""


@pytest.mark.parametrize("service", [counting_service(), receipting_service()], ids=["plain", "numbered"])
async def test_two_replicas_hear_a_backlog_faster_than_one_since_only_writing_is_one_at_a_time(
    toy_databases: CreateToyDatabase, service: Service
) -> None:
    """Numbers are taken in turn: who was overtaken asks once more, so two are less than twice as fast."""
    one, two = [await _seconds(toy_databases, service, replicas) for replicas in (1, 2)]
    print(f"\none replica {one:.2f} s, two {two:.2f} s: {one / two:.2f} times as fast")
    assert one / two > 1.15


async def _seconds(toy_databases: CreateToyDatabase, service: Service, replicas: int) -> float:
    database = await toy_databases()
    host, _, port = database.server.rpartition(":")
    async with slow_line(int(port), LINE_SECONDS) as slow_port:
        dsn = f"{host}:{slow_port}/{database.prefix}{SERVICE}"
        pools = [await connect_pool(dsn) for _ in range(replicas)]
        try:
            each = [Replica(service, pool) for pool in pools]
            for replica in each:
                await replica.pool.fetchval("SELECT 1")  # connecting is not hearing
            begun = time.monotonic()
            await asyncio.gather(*(_hear(replica, range(n, BATCHES, replicas)) for n, replica in enumerate(each)))
            seconds = time.monotonic() - begun
            assert await pools[0].fetchval("SELECT count(*) FROM events") == BATCHES * RECORDS
            return seconds
        finally:
            for pool in pools:
                pool.terminate()


async def _hear(replica: Replica, lanes: Sequence[int]) -> None:
    """A batch of each lane: as with partitions, no lane belongs to two replicas."""
    for lane in lanes:
        await replica.consumer.handle([_record(lane % LANES, n) for n in range(1, RECORDS + 1)])


def _record(lane: int, sequence: int) -> Record:
    order_id = f"L{lane}-{sequence}"
    headers = headers_of(f"order-{order_id}@1", lane, sequence)
    return Record(body_of(placed(order_id, KEYS[lane])), headers, key=KEYS[lane].encode())
