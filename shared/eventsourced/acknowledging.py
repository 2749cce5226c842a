"""Tells Kafka now and then up to where a group has heard: a question for every batch would cost as much as the batch.

What is heard stands in the store's positions. Kafka's offsets only say where whoever takes over begins: a moment early
is right, for what comes again falls out by its position; too late is a hole. So only what is committed is ever told.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import in_words

log = structlog.get_logger()

TELL_SECONDS = 0.5
"""Not more often while batches follow each other. Once none does, the rest is told with the next empty poll."""

LAST_SECONDS_MAX = 2.0
"""Who loses partitions tells for so long; a group whose coordinator is away must not wait for it."""


class Acknowledging(ConsumerRebalanceListener):  # type: ignore[misc]
    """What one member of a group has heard of its partitions and not told yet."""

    def __init__(self) -> None:
        self._untold: dict[TopicPartition, int] = {}
        self._told_at = -math.inf
        self._seconds = TELL_SECONDS
        self._consumer: Any = None

    async def heard(self, consumer: Any, records: Iterable[Any]) -> None:
        """These are committed in the store. Tells Kafka, if it was not told a moment ago."""
        self._consumer = consumer
        for record in records:
            self._untold[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if time.monotonic() - self._told_at >= self._seconds:
            await self.tell()

    async def tell(self) -> None:
        """Tell Kafka all it does not know. Waits while it is away; what it refuses is heard again by somebody."""
        untold, self._untold = self._untold, {}
        ours = self._consumer.assignment() if untold else set()
        offsets = {partition: offset for partition, offset in untold.items() if partition in ours}
        if offsets:
            self._told_at = time.monotonic()
            try:
                await self._consumer.commit(offsets)
            except KafkaError as error:
                log.warning("offsets not taken", fault=in_words(error))

    async def finish(self) -> None:
        """From now on every batch is told at once: there may be no next one."""
        self._seconds = 0.0
        await self._tell_in_time()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Others go on where we are."""
        await self._tell_in_time()

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """They begin where the group was: nothing to do."""

    async def _tell_in_time(self) -> None:
        try:
            async with asyncio.timeout(LAST_SECONDS_MAX):
                await self.tell()
        except TimeoutError:
            log.warning("offsets not taken", fault="Kafka did not answer in time")


class InHand:
    """One batch, as FastStream acknowledges it when its handler has ended, or hands it back when that has failed."""

    def __init__(self, consumer: Any, acknowledging: Acknowledging | None, records: Sequence[Any]) -> None:
        """`acknowledging`: None where there is no group."""
        self._consumer, self._acknowledging, self._records = consumer, acknowledging, records

    async def commit(self) -> None:
        """All of it is done."""
        if self._acknowledging is not None:
            await self._acknowledging.heard(self._consumer, self._records)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Take it again from there."""
        self._consumer.seek(partition, offset)
