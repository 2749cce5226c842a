"""Of two replicas of a service that hears alone one hears everything, and when it goes or fails the other does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from o2c.bench.slow_line import slow_line
from shared.eventsourced import standing_by
from shared.eventsourced.publishing import LANES, lane_of
from shared.frame.running import Running
from shared.kafka import CONTROL_TOPIC, ensure_topics
from shared.settings import Settings
from tests.connected.support_engine import Database, counted_in_order, counting_service, eventually, running, send
from tests.engine.records import TOPIC, order_record

pytestmark = pytest.mark.connected

SERVICE = replace(counting_service(), hears_alone=True)
PARTITIONS = 4
CUSTOMERS = tuple({lane_of(f"C-{n}"): f"C-{n}" for n in range(20)}.values())
"""One of each lane, in all partitions."""


async def _taken(process: Running) -> list[bool]:
    """Of each lane of order."""
    return list(map(await process._taken(), [("order", lane) for lane in range(LANES)]))


async def _all_taken(process: Running) -> bool:
    return all(await _taken(process))


async def test_who_stands_by_hears_nothing_until_the_other_goes_and_then_everything(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await ensure_topics(servers, {TOPIC, CONTROL_TOPIC}, partitions=PARTITIONS, replication=1)
    settings = database.settings(servers)
    async with running(SERVICE, settings) as one, running(SERVICE, settings) as two:
        await eventually(lambda: _has(one, two))
        hears, stands_by = sorted((one, two), key=_partitions, reverse=True)
        assert await stands_by.missing() == {}, "it is ready to answer requests"
        assert not any(await _taken(stands_by)), "it cannot know what is lost, and what only waits for the other"
        await eventually(lambda: _all_taken(hears))
        await send(servers, [order_record(n, customer) for n in (1, 2) for customer in CUSTOMERS])
        await eventually(lambda: _counted(stands_by, 2 * len(CUSTOMERS)))
        assert (hears.consumer.records, stands_by.consumer.records) == (2 * len(CUSTOMERS), 0)
        hears.stop()
        await eventually(lambda: _has(stands_by))
        await send(servers, [order_record(3, customer) for customer in CUSTOMERS])
        await eventually(lambda: _counted(stands_by, 3 * len(CUSTOMERS)))


async def test_who_hears_and_cannot_reach_its_store_steps_aside_until_somebody_hears_who_can(
    database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_by, "PATIENCE_SECONDS", 1)
    servers = await fresh_broker()
    await ensure_topics(servers, {TOPIC, CONTROL_TOPIC}, partitions=PARTITIONS, replication=1)
    async with AsyncExitStack() as lines, AsyncExitStack() as stack:
        first, second = [await lines.enter_async_context(own_line(database, servers)) for _ in range(2)]
        one = await stack.enter_async_context(running(SERVICE, first.settings))
        two = await stack.enter_async_context(running(SERVICE, second.settings))
        await eventually(lambda: _has(one, two))
        assert _partitions(one), "the eldest"
        await first.cut()
        await send(servers, [order_record(1, customer) for customer in CUSTOMERS])
        await eventually(lambda: _counted(two, len(CUSTOMERS)))
        three = await stack.enter_async_context(running(SERVICE, database.settings(servers)))
        await second.cut()
        await send(servers, [order_record(2, customer) for customer in CUSTOMERS])
        await eventually(lambda: _counted(three, 2 * len(CUSTOMERS)))
        assert (one.consumer.batches, two.consumer.records) == (0, len(CUSTOMERS)), "who was cut off wrote nothing"


@dataclass
class OwnLine:
    """A process's line to the database. `settings`: with which it uses this line and no other."""

    settings: Settings
    cut: Callable[[], Awaitable[None]]


@asynccontextmanager
async def own_line(database: Database, servers: str) -> AsyncIterator[OwnLine]:
    host, _, port = database.server.rpartition(":")
    async with AsyncExitStack() as line:
        own_port = await line.enter_async_context(slow_line(int(port), 0))
        yield OwnLine(database.settings(servers, database_url=f"{host}:{own_port}"), line.aclose)


def _partitions(process: Running) -> int:
    return len(process.kafka.taking.assignment()) if process.kafka.taking else 0


async def _has(first: Running, *others: Running) -> bool:
    """Whether one of these has all partitions, and the others none."""
    return sorted(map(_partitions, (first, *others))) == [0] * len(others) + [PARTITIONS]


async def _counted(process: Running, number: int) -> bool:
    return len(await counted_in_order(process.pool)) == number
