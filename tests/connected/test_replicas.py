"""Two replicas of a service share its work: only writing is one at a time, all before it is done side by side."""

import asyncio
from typing import Any

import pytest

from shared.eventsourced.service import Service
from tests.connected.support_engine import OpenReplica, counting_service, eventually, receipting_service
from tests.engine.records import order_record

pytestmark = pytest.mark.connected

RECORDS = 50
CUSTOMERS = ("C-1", "C-2")
"""Of two lanes: as with partitions, none belongs to two replicas."""
PATIENCE_SECONDS = 8.0
"""Less than a session of ours may hold a lock without asking anything."""
WAITING = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
"""
"""What the others ask while somebody else writes to the store."""


@pytest.mark.parametrize("service", [counting_service(), receipting_service()], ids=["plain", "numbered"])
async def test_replicas_come_to_their_last_statement_while_another_writes_and_do_nothing_twice(
    open_replica: OpenReplica, service: Service
) -> None:
    """Numbers are taken in turn: who was overtaken asks once more, with what it has loaded and decided."""
    replicas = [await open_replica(service) for _ in range(2)]
    async with asyncio.TaskGroup() as hearing, replicas[0].pool.acquire() as another, another.transaction():
        await another.execute("SELECT lock_store()")
        for customer, each in zip(CUSTOMERS, replicas, strict=True):
            batch = [order_record(n, customer) for n in range(1, RECORDS + 1)]
            hearing.create_task(each.consumer.handle(batch))
        waiting = await eventually(lambda: _waiting(replicas[1].pool, len(replicas)), PATIENCE_SECONDS)
    assert all(query.startswith("WITH written AS") for query in waiting), waiting
    assert [each.work.conflicts for each in replicas] == [0, 0]
    assert len(await replicas[0].events()) == 2 * RECORDS


async def _waiting(pool: Any, number: int) -> list[str]:
    """What is asked by those who wait, once they are so many."""
    queries = [query for (query,) in await pool.fetch(WAITING)]
    return queries if len(queries) == number else []
