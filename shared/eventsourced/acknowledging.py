"""Tells Kafka now and then up to where a group has heard: a question for every batch would cost as much as the batch.

What is heard stands in the store's positions. Kafka's offsets only say where whoever takes over begins, and only what
is committed is ever told. A moment early is right: what comes again falls out by its position or, from outside, by the
id of what it is about. Customers have no such id: changes of half a second may be made a second time, in their order;
and who was frozen while it wrote one may make it once more, after a later one that another member has made meanwhile.
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
"""Not more often while batches follow each other. Once none does, all is told with the next empty poll."""

REST_SECONDS = 5.0
"""Who rests tells all so often: a position may move though nothing comes, over the marker of a transaction."""

TELL_SECONDS_MAX = 2.0
"""So long it waits for Kafka: what is not told now is told later, or heard again by somebody."""


class Acknowledging(ConsumerRebalanceListener):  # type: ignore[misc]
    """What one member of a group has heard of its partitions and not told yet.

    `turn`: counts how often the partitions were given out: what was taken before may be another member's meanwhile.
    `taken_in`: the turn of the batch in hand.
    """

    def __init__(self) -> None:
        self.turn = self.taken_in = 0
        self._untold: dict[TopicPartition, int] = {}
        self._told_all = False
        self._told_at = -math.inf
        self._seconds = TELL_SECONDS
        self._consumer: Any = None

    @property
    def ours(self) -> bool:
        """Whether what is in hand is still this member's; if not, whoever has the partitions now takes it again."""
        return self.turn == self.taken_in

    async def heard(self, consumer: Any, records: Iterable[Any], turn: int) -> None:
        """These, taken in that turn, are committed in the store. Tells Kafka, if it was not told a moment ago."""
        if turn != self.turn:
            return
        self._consumer, self._told_all = consumer, False
        last = {(record.topic, record.partition): record.offset for record in records}
        self._untold |= {TopicPartition(*partition): offset + 1 for partition, offset in last.items()}
        if time.monotonic() - self._told_at >= self._seconds:
            await self._tell()

    async def rest(self, consumer: Any) -> None:
        """Nothing came and nothing is in hand: tell where we are in every partition, also where nothing was heard."""
        if self._told_all and time.monotonic() - self._told_at < REST_SECONDS:
            return
        if consumer.assignment():
            self._untold = {}
            self._told_all = await self._commit(consumer, None)

    async def finish(self) -> None:
        """From now on every batch is told at once: there may be no next one."""
        self._seconds = 0.0
        await self._tell()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Others go on where we are."""
        await self._tell()
        self._untold = {}  # of a batch that was done while this was told: others hear it again
        self.turn += 1

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """They begin where the group was, or where the log begins by now: the group is to know."""
        self._told_all = False

    async def _tell(self) -> None:
        """Tell what was heard since the last time."""
        turn, untold, self._untold = self.turn, self._untold, {}
        ours = self._consumer.assignment() if untold else set()
        offsets = {partition: offset for partition, offset in untold.items() if partition in ours}
        if offsets and not await self._commit(self._consumer, offsets) and turn == self.turn:
            self._untold = offsets | self._untold  # with the next ones

    async def _commit(self, consumer: Any, offsets: dict[TopicPartition, int] | None) -> bool:
        """`offsets`: None for all that was taken. Whether Kafka has it."""
        self._told_at = time.monotonic()
        try:
            async with asyncio.timeout(TELL_SECONDS_MAX):
                await consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets not taken", fault=in_words(error))
            return False
        return True


class InHand:
    """One batch, as FastStream acknowledges it when its handler has ended, or hands it back when that has failed."""

    def __init__(self, consumer: Any, acknowledging: Acknowledging | None, records: Sequence[Any], turn: int) -> None:
        """`acknowledging`: None where there is no group; `turn`: in which they were taken."""
        self._consumer, self._acknowledging, self._records, self._turn = consumer, acknowledging, records, turn

    async def commit(self) -> None:
        """All of it is done."""
        if self._acknowledging is not None:
            await self._acknowledging.heard(self._consumer, self._records, self._turn)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Take it again from there; not in another turn, which has begun where the group was: its log may be new."""
        if self._acknowledging is None or self._acknowledging.turn == self._turn:
            self._consumer.seek(partition, offset)
