"""What an operator, or an accident, can do to Kafka's topics, and to its answers on their way."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from tests.support.kafka_client import partitions_of


@asynccontextmanager
async def _admin(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def delete_topics(servers: str, topics: Iterable[str]) -> None:
    """Delete topics with everything in them."""
    async with _admin(servers) as client:
        response = await client.delete_topics(list(topics))
        assert all(code == 0 for _, code in response.topic_error_codes), response


async def raise_partitions(servers: str, topics: Iterable[str], count: int) -> None:
    """Give topics more partitions: keys now belong to other ones than before."""
    async with _admin(servers) as client:
        await client.create_partitions({topic: NewPartitions(total_count=count) for topic in topics})


async def delete_records(servers: str, topics: Iterable[str]) -> int:
    """Delete all records that these topics hold now, as passed retention would; how many offsets that were."""
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        partitions = [TopicPartition(topic, n) for topic in topics for n in range(await partitions_of(servers, topic))]
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    async with _admin(servers) as client:
        await client.delete_records({p: RecordsToDelete(before_offset=end) for p, end in ends.items() if end})
    return sum(ends[p] - begins[p] for p in partitions)


def lose_acknowledgements(home: Path, service: str, number: int) -> Path:
    """Have the next so many acknowledgements of a service's facts lost on their way; the file is gone when they are."""
    file = home / "trapdoors" / f"{service}.unacknowledged"
    unfinished = file.with_suffix(".new")
    unfinished.write_text(str(number))
    return unfinished.rename(file)
