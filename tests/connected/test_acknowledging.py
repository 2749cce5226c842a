"""A real group: it tells Kafka where the log ends, whoever wrote it, and what is done when it leaves, not sooner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.contracts.inbound import INBOUND_ORDERS
from shared.eventsourced import acknowledging as module
from shared.eventsourced.acknowledging import Acknowledging
from shared.kafka import ensure_topics
from tests.connected.support_engine import SERVICE, eventually, send, subscribed
from tests.engine.records import Record

pytestmark = pytest.mark.connected

TOPIC = INBOUND_ORDERS.topic
PLACE = TopicPartition(TOPIC, 0)


@asynccontextmanager
async def hearing(servers: str, handler: Callable[[list[Any]], Awaitable[None]]) -> AsyncIterator[Acknowledging]:
    """A member of the group that leaves in order; a batch is one record."""
    async with subscribed(servers, TOPIC, handler, records_max=1) as acknowledging:
        try:
            yield acknowledging
        finally:
            await acknowledging.finish()


async def told(servers: str) -> int | None:
    """Where the group would go on."""
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=SERVICE, enable_auto_commit=False) as consumer:
        offset: int | None = await consumer.committed(PLACE)
        return offset


async def log_end(servers: str) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        return int((await consumer.end_offsets([PLACE]))[PLACE])


def record(n: int) -> Record:
    return Record(b"%d" % n, topic=TOPIC, key=b"k")


class Handler:
    """Hears everything; `held`: nothing ends before it is set."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, records: list[Any]) -> None:
        self.heard += [record.value for record in records]
        await self.held.wait()


@pytest.fixture
async def servers(fresh_broker: Any) -> str:
    address: str = await fresh_broker()
    await ensure_topics(address, {TOPIC}, partitions=1, replication=1)
    return address


async def test_a_group_that_rests_has_told_all_of_the_log(servers: str, broker_choice: Any) -> None:
    handler = Handler()
    async with hearing(servers, handler):
        await send(servers, [record(n) for n in range(5)])
        await eventually(lambda: _is_told(servers, 5))
        if broker_choice.kind != "embedded":  # a marker of a transaction is a record that nobody hears
            shop = AIOKafkaProducer(bootstrap_servers=servers, transactional_id="shop")
            async with shop, shop.transaction():
                await shop.send(TOPIC, b"5", b"k", partition=0)
            assert await log_end(servers) == 7
            await eventually(lambda: _is_told(servers, 7))
    assert handler.heard == [b"%d" % n for n in range(len(handler.heard))]


async def _is_told(servers: str, offset: int) -> bool:
    return await told(servers) == offset


async def test_who_leaves_has_told_what_it_has_done_and_not_what_is_in_hand(
    servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 60.0)
    handler = Handler()
    async with hearing(servers, handler) as acknowledging:
        await eventually(lambda: _is_told(servers, 0))  # it has begun
        handler.held.clear()
        await send(servers, [record(n) for n in range(3)])
        await eventually(lambda: _has(handler, 1))
        await acknowledging.finish()
        assert await told(servers) == 0
        handler.held.set()
    assert await told(servers) == len(handler.heard)
    async with hearing(servers, handler):
        await eventually(lambda: _has(handler, 3))
        await eventually(lambda: _is_told(servers, 3))
    assert handler.heard == [b"0", b"1", b"2"]


async def _has(handler: Handler, count: int) -> bool:
    return len(handler.heard) >= count
