"""What stands on a service's own topic: how far it has spoken, whatever its store says."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.errors import UnavailableError
from shared.eventsourced.reading import Received, read

log = structlog.get_logger()

LAST_RECORDS = 100
"""Of each partition so many are looked at: the very last ones may be of lanes in which nothing was forgotten."""
LOOKING_SECONDS_MAX = 10
"""Less than the lease of the relay, which asks nothing of its database meanwhile."""
BODY_BYTES_MAX = 1 << 30
"""Whatever the broker took."""


async def last_said(servers: str, service: str, topic: str) -> dict[int, int]:
    """How far the service has spoken, by the last records of its own topic: lane → sequence, not of every lane.

    What `o2c restored` has reckoned with is not looked at: it commits, in the service's group, where that ends. Raises
    what aiokafka raises when Kafka is away, TimeoutError when it takes too long.
    """
    last: dict[int, int] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=service, enable_auto_commit=False)
    try:
        async with asyncio.timeout(LOOKING_SECONDS_MAX):
            await consumer.start()
            partitions = await partitions_of(consumer, topic)
            begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            start = {p: max(begins[p], ends[p] - LAST_RECORDS, await consumer.committed(p) or 0) for p in partitions}
            async for received in said_since(consumer, service, {p: n for p, n in start.items() if n < ends[p]}):
                last[received.lane] = max(received.sequence, last.get(received.lane, 0))
    except UnavailableError as error:
        log.warning("some of the last records are passed over", fault=error.message)
    finally:
        await consumer.stop()  # also of one that did not start
    return last


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """None where there is no such topic."""
    cluster = await consumer._client.fetch_all_metadata()  # it has no other way to ask for all partitions
    return [TopicPartition(topic, n) for n in sorted(cluster.partitions_for_topic(topic) or ())]


async def said_since(
    consumer: AIOKafkaConsumer, service: str, start: Mapping[TopicPartition, int]
) -> AsyncIterator[Received]:
    """The service's own messages on its topic, from these offsets to the present end.

    UnavailableError when it holds records that cannot be read: behind them may stand whatever was said.
    """
    consumer.assign(list(start))
    for partition, offset in start.items():
        consumer.seek(partition, offset)
    ends = await consumer.end_offsets(list(start))
    while [p for p in start if await consumer.position(p) < _end(consumer, p, ends[p])]:
        for records in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
            for record in records:
                received = read(record, {record.topic: service}, BODY_BYTES_MAX)
                received.open()
                if received.poison is None:
                    yield received
        if consumer.paused():  # see `shared.kafka_mends`
            raise UnavailableError(f"Kafka holds records of {service} that cannot be read: the log says where")


def _end(consumer: AIOKafkaConsumer, partition: TopicPartition, named: int) -> int:
    """Of a broker that was emptied meanwhile, the end that was named before is never reached; the embedded one even
    names it again. What came with the last records is true."""
    seen = consumer.highwater(partition)
    return named if seen is None else min(named, seen)
