"""A few lines of Kafka client for tests: create topics, write, read to the end."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_SECONDS_MAX = 30.0


async def create_topic(servers: str, topic: str, partitions: int = 1) -> None:
    """Create one topic; an error if it is there already."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        response = await client.create_topics([NewTopic(topic, partitions, 1)])
        assert [error[1] for error in response.topic_errors] == [0]
    finally:
        await client.close()


async def topics_of(servers: str) -> list[str]:
    """Names of all topics but the broker's own."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        return sorted(topic for topic in await client.list_topics() if not topic.startswith("__"))
    finally:
        await client.close()


async def partitions_of(servers: str, topic: str) -> int:
    """How many partitions a topic has, as soon as there is one: it may just be about to be made."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            while (described := (await client.describe_topics([topic]))[0])["error_code"]:
                await asyncio.sleep(0.05)
        return len(described["partitions"])
    finally:
        await client.close()


async def produce(servers: str, topic: str, values: Iterable[bytes]) -> None:
    """Write values, each acknowledged by the broker; the value is its own key."""
    async with asyncio.timeout(_SECONDS_MAX), AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=value)


async def consume(servers: str, topic: str) -> list[bytes]:
    """All values of a topic from the beginning to its present end, sorted."""
    partitions = [TopicPartition(topic, number) for number in range(await partitions_of(servers, topic))]
    async with asyncio.timeout(_SECONDS_MAX), AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        values: list[bytes] = []
        while len(values) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values.extend(record.value for record in records)
        return sorted(values)


async def consume_in_group(servers: str, topic: str, group: str, count: int) -> list[bytes]:
    """`count` values as a member of a group that starts at the earliest, committed; sorted."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
    )
    async with asyncio.timeout(_SECONDS_MAX), consumer:
        values: list[bytes] = []
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values.extend(record.value for record in records)
        await consumer.commit()
        return sorted(values)
