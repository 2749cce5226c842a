"""Of two replicas of a service that hears alone one hears everything, and when it goes the other does."""

from dataclasses import replace
from typing import Any

import pytest

from shared.eventsourced.publishing import lane_of
from shared.frame.running import Running
from shared.kafka import CONTROL_TOPIC, ensure_topics
from tests.connected.support_engine import Database, counted_in_order, counting_service, eventually, running, send
from tests.engine.records import TOPIC, order_record

pytestmark = pytest.mark.connected

PARTITIONS = 4
CUSTOMERS = tuple({lane_of(f"C-{n}"): f"C-{n}" for n in range(20)}.values())
"""One of each lane, in all partitions."""


async def test_who_stands_by_hears_nothing_until_the_other_goes_and_then_everything(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await ensure_topics(servers, {TOPIC, CONTROL_TOPIC}, partitions=PARTITIONS, replication=1)
    service, settings = replace(counting_service(), hears_alone=True), database.settings(servers)
    async with running(service, settings) as one, running(service, settings) as two:
        await eventually(lambda: _has(one, two))
        hears, stands_by = sorted((one, two), key=_partitions, reverse=True)
        assert await stands_by.missing() == {}, "it is ready to answer requests"
        assert not await stands_by._caught_up(), "it cannot know what is lost, and what only waits for the other"
        await send(servers, [order_record(n, customer) for n in (1, 2) for customer in CUSTOMERS])
        await eventually(lambda: _counted(stands_by, 2 * len(CUSTOMERS)))
        assert (hears.consumer.records, stands_by.consumer.records) == (2 * len(CUSTOMERS), 0)
        hears.stop()
        await eventually(lambda: _has(stands_by))
        await send(servers, [order_record(3, customer) for customer in CUSTOMERS])
        await eventually(lambda: _counted(stands_by, 3 * len(CUSTOMERS)))


def _partitions(process: Running) -> int:
    return len(process.kafka.taking.assignment()) if process.kafka.taking else 0


async def _has(first: Running, *others: Running) -> bool:
    """Whether one of these has all partitions, and the others none."""
    return sorted(map(_partitions, (first, *others))) == [0] * len(others) + [PARTITIONS]


async def _counted(process: Running, number: int) -> bool:
    return len(await counted_in_order(process.pool)) == number
