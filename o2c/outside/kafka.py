"""The outside world's own Kafka client: batches out per partition, batches in from where the run began."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from o2c.outside.envelope import Outgoing
from shared.errors import UnavailableError
from shared.eventsourced.gathering import Gathering
from shared.kafka import close_quietly, new_producer

SEND_SECONDS_MAX = 30
TOPICS_SECONDS_MAX = 30
POLL_MS = 20
"""For how long a poll waits, and few records for more of them: each answer costs as much as many."""
RECORDS_MAX = 4_000
"""Records per poll: about 60 ms of work, so that answers leave while more comes in."""


class Publisher:
    """Sends records and waits until all are acknowledged."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> "Publisher":
        producer = new_producer(self._servers)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await close_quietly(producer)
            raise UnavailableError(f"no Kafka broker answers at {self._servers}: {error}") from error
        self._producer = producer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._producer is not None:
            await close_quietly(self._producer)

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; waits for the topic to be there. UnavailableError if it does not come."""
        assert self._producer is not None
        try:
            async with asyncio.timeout(TOPICS_SECONDS_MAX):
                while True:
                    try:
                        found = await self._producer.partitions_for(topic)
                        if found:
                            return len(found)
                    except KafkaError:
                        pass  # the topic is not there yet: its service creates it when it starts
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise UnavailableError(f"topic {topic} does not exist on {self._servers}") from None

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send in the order given, in few batches per partition. KafkaError, TimeoutError: not all is acknowledged."""
        assert self._producer is not None
        by_topic: dict[str, list[Outgoing]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        async with asyncio.timeout(SEND_SECONDS_MAX):
            sent: list[Any] = []
            for topic, its in by_topic.items():
                sent += await self._send(self._producer, topic, its)
            await asyncio.gather(*sent)

    async def _send(self, producer: AIOKafkaProducer, topic: str, messages: Iterable[Outgoing]) -> list[Any]:
        partitions = await self.partitions(topic)
        open_batches: dict[int, Any] = {}
        sent = []
        for message in messages:
            partition = message.lane % partitions
            batch = open_batches.get(partition)
            if batch is None or not _append(batch, message):
                if batch is not None:
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = open_batches[partition] = producer.create_batch()
                if not _append(batch, message):
                    raise KafkaError(f"a message of {len(message.value)} bytes fits no batch")
        for partition, batch in open_batches.items():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        return sent


def _append(batch: Any, message: Outgoing) -> bool:
    done = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
    return done is not None


class Listener:
    """Reads whole topics without a group: nothing is committed, every run sees everything from its beginning."""

    def __init__(self, servers: str) -> None:
        self._gathering = Gathering(records_max=RECORDS_MAX, poll_ms=POLL_MS, gather_ms=POLL_MS)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_uncommitted",
            fetch_max_wait_ms=50,
            fetch_min_bytes=1,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=10_000,
        )

    async def start(self, partitions: dict[str, int], *, from_beginning: bool) -> None:
        """Listen to these topics (name → number of partitions), from their beginning or from now on."""
        await self._consumer.start()
        all_of_them = [TopicPartition(topic, n) for topic, count in partitions.items() for n in range(count)]
        self._consumer.assign(all_of_them)
        if from_beginning:
            await self._consumer.seek_to_beginning(*all_of_them)
        else:
            await self._consumer.seek_to_end(*all_of_them)
            for partition in all_of_them:
                await self._consumer.position(partition)  # fixed now, not at the first poll

    async def poll(self) -> Sequence[Any]:
        """The next records, none after a short wait."""
        return await self._gathering.take(self._consumer)

    async def stop(self) -> None:
        """Close the connection."""
        await self._consumer.stop()
