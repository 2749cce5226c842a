"""Topics and producers, with every option that decides delivery written out."""

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from shared.kafka_mends import mend

mend()

CONTROL_TOPIC = "o2c.control"
"""One partition on which speakers say how far they have spoken, and listeners ask to hear something again."""

METADATA_AGE_MS_MAX = 10_000
"""A raised number of partitions is seen by speakers and listeners within ten seconds; the default is five minutes."""

TOPIC_CONFIGURATION = {"message.timestamp.type": "LogAppendTime"}
"""Records are as old as the broker says. By the sender's clock, one that is an hour ahead could say nothing more (a
broker refuses records from the future), and one that is behind would have its records expire early."""

PRODUCER_BATCH_BYTES_MAX = 900_000
"""Below the broker's own limit for a batch of 1,048,588 bytes (message.max.bytes)."""


def dead_letter_topic(service: str) -> str:
    """Where a service tells the world about messages that it could not process."""
    return f"o2c.{service}.dead-letters"


async def ensure_topics(servers: str, topics: Collection[str], *, partitions: int, replication: int) -> None:
    """Create the topics that are missing; the control topic has one partition. Existing topics stay as they are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000)
    await admin.start()
    try:
        missing = set(topics) - set(await admin.list_topics())
        if not missing:
            return
        new = [
            NewTopic(t, 1 if t == CONTROL_TOPIC else partitions, replication, topic_configs=TOPIC_CONFIGURATION)
            for t in sorted(missing)
        ]
        response = await admin.create_topics(new)
        _raise_failures(response)
    finally:
        await admin.close()


def _raise_failures(response: Any) -> None:
    for topic, code, *message in getattr(response, "topic_errors", ()):
        if code not in (0, TopicAlreadyExistsError.errno):
            raise KafkaError(f"cannot create topic {topic}: error {code} {message}")


def new_producer(servers: str) -> AIOKafkaProducer:
    """The relay's producer. Exactly-once comes from positions and the store, so it needs no idempotence (which the
    embedded broker lacks); order comes from one batch in flight per partition, which is how aiokafka works."""
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=False,
        linger_ms=0,
        max_batch_size=PRODUCER_BATCH_BYTES_MAX,
        max_request_size=PRODUCER_BATCH_BYTES_MAX + 100_000,
        request_timeout_ms=20_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=METADATA_AGE_MS_MAX,
        compression_type=None,
    )


async def close_quietly(producer: AIOKafkaProducer, *, seconds: float = 5.0) -> None:
    """Stop a producer whose broker may be away: give up after some seconds."""
    try:
        await asyncio.wait_for(producer.stop(), seconds)
    except (TimeoutError, KafkaError, OSError):
        return
