"""From Kafka into the unit of work: one batch subscriber per service over all topics it hears.

The batch is acknowledged only after its transaction is committed; a repeat falls out by its position. Faults that pass
are waited for inside the handler; a message that can never be processed is parked, and everything else goes on.
"""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage

from shared.errors import in_words
from shared.eventsourced import standing_by
from shared.eventsourced.acknowledging import Acknowledging, InHand
from shared.eventsourced.faults import Backoff, isolating, passes
from shared.eventsourced.gathering import Gathering
from shared.eventsourced.hearing import Translator, sift
from shared.eventsourced.reading import Received, read
from shared.eventsourced.standing_by import EldestHears
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.writing import Position, PositionsMoved
from shared.telemetry.engine import HearingFigures, Lap

log = structlog.get_logger()

PATIENCE_SECONDS = 240
"""How long a batch waits for a fault to pass before it is handed back: less than max_poll_interval_ms below."""

REBALANCE_MS_MAX = 10_000
"""For so long a group that changes waits for its members; each learns with its next heartbeat that it is waited for."""

LOOK_SECONDS = 0.2
"""Repeats may come in large numbers: so often, at most, it is looked whether positions were set back."""

REDELIVERY_SECONDS = 5.0
"""A batch that was handed back comes again at once, if the partition is still ours."""

FETCHED_BYTES_MAX = 512 * 1024
"""What is fetched ahead waits in memory, so much for each partition of each topic: a large system has 120 of them. A
record that is larger comes alone."""


class RawCodec:
    """Hands records on as they are: reading them is the consumer's work, where a bad one cannot fail the batch."""

    async def decode_batch(self, message: Any) -> list[Any]:
        return list(message.raw_message)

    async def encode_batch(self, messages: Any, serializer: Any = None) -> list[Any]:
        raise TypeError("the relay publishes, not FastStream")

    async def decode(self, message: Any) -> Any:
        return message.raw_message

    async def encode(self, message: Any, serializer: Any = None) -> Any:
        raise TypeError("the relay publishes, not FastStream")


class _Taking:
    """Takes batches from Kafka and hands them on as they are. `eldest`: where the others stand by."""

    def __init__(
        self, gathering: Gathering, acknowledging: Acknowledging | None, eldest: EldestHears | None = None
    ) -> None:
        self._gathering, self._acknowledging, self._eldest = gathering, acknowledging, eldest
        self._client: Any = None
        self._failed = False

    def failed(self) -> None:
        """The batch in hand is handed back."""
        self._failed = True

    async def take(self, client: Any) -> tuple[Any, ...]:
        self._client = client
        if self._failed:
            self._failed = False
            self._step_aside(client)
        acknowledging = self._acknowledging
        records = await self._gathering.take(client, self._turn)
        if acknowledging is not None and records:
            acknowledging.taken_in = self._gathering.taken_in
        elif acknowledging is not None:
            await acknowledging.rest(client)
        return records

    def _turn(self) -> int:
        return self._acknowledging.turn if self._acknowledging is not None else 0

    def _step_aside(self, client: Any) -> None:
        """Have the next one hear, unless that is so already or was so a moment ago."""
        if self._eldest is None or self._acknowledging is None or not self._acknowledging.ours:
            return
        if self._eldest.step_aside():
            log.warning("steps aside: if others stand by, the eldest of them hears")
            # aiokafka lets nobody ask for this. To subscribe again is no way: while it looks for its coordinator, that
            # ends the task that would join.
            client._subscription.begin_reassignment()
            client._coordinator.request_rejoin()

    async def message(self, records: tuple[Any, ...]) -> KafkaAckableMessage:
        # FastStream's own parser decodes every header as UTF-8; one that is not would lose the whole batch.
        return KafkaAckableMessage(
            raw_message=records,
            body=[],
            headers={},
            batch_headers=[],
            correlation_id=None,
            consumer=InHand(
                self._client, self._acknowledging, records, self._acknowledging.taken_in if self._acknowledging else 0
            ),
        )


def subscribe(
    broker: KafkaBroker,
    topics: Sequence[str],
    handler: Callable[[list[Any]], Awaitable[None]],
    *,
    group_id: str | None,
    gathering: Gathering,
    acknowledging: Acknowledging | None,
    wait_ms: int,
    session_ms: int,
    hears_alone: bool = False,
) -> Any:
    """A batch subscriber with every option that decides delivery written out; returns FastStream's subscriber.

    `gathering`: takes its batches. `acknowledging`: of a group. `wait_ms`: for how long the broker may keep a question
    for records. `hears_alone`: one member of the group hears, the others stand by; when its handler fails, the next.
    """
    eldest = EldestHears() if hears_alone else None
    taking = _Taking(gathering, acknowledging, eldest)
    subscriber: Any = broker.subscriber(
        *topics,
        batch=True,
        group_id=group_id,
        parser=taking.message,
        codec=RawCodec(),
        listener=acknowledging,
        **_delivery(group_id),
        partition_assignment_strategy=[eldest or RoundRobinPartitionAssignor],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=heartbeat_ms(session_ms),
        fetch_max_wait_ms=wait_ms,
    )

    async def on_records(records: list[Any]) -> None:
        try:
            await handler(records)
        except Exception:
            taking.failed()
            raise

    subscriber.get_msg = taking.take
    subscriber(on_records)
    return subscriber


def heartbeat_ms(session_ms: int) -> int:
    """How often a member says that it lives: a third of what it would be taken for gone, or left behind, after."""
    return min(session_ms, REBALANCE_MS_MAX) // 3


def _delivery(group_id: str | None) -> dict[str, Any]:
    """What decides what is delivered, when it counts as heard, and how much of it waits in memory."""
    return {
        # A group that is new hears everything; without a group (control messages) only what is said from now on.
        "auto_offset_reset": "earliest" if group_id else "latest",
        "ack_policy": AckPolicy.NACK_ON_ERROR if group_id else AckPolicy.ACK_FIRST,
        "max_poll_interval_ms": 300_000,
        "rebalance_timeout_ms": REBALANCE_MS_MAX,
        "fetch_min_bytes": 1,
        "max_partition_fetch_bytes": FETCHED_BYTES_MAX,
        "fetch_max_bytes": 8 * 1024 * 1024,
        "isolation_level": "read_uncommitted",  # nobody writes transactions; some brokers deliver aborted ones anyway
    }


class Consumer:
    """Hears records for one service. `positions` is the picture of the store's positions, proven at every commit.

    `gaps`: lanes with a hole, each with the last message that was skipped behind it. `given_up`: messages of batches
    that waited here until others had their partitions.
    """

    def __init__(
        self,
        work: UnitOfWork,
        translator: Translator,
        speakers: Mapping[str, str],
        read_positions: Callable[[], Awaitable[dict[Position, int]]],
        *,
        body_bytes_max: int,
        hears_alone: bool = False,
        on_heard: Callable[[Sequence[Received]], None] = lambda received: None,
    ) -> None:
        """`hears_alone`: others stand by, so that a fault that does not pass soon is better left to them.

        `on_heard`: told of every batch that is committed whole, without repeats and holes; must not raise.
        """
        self._hears_alone, self._on_heard = hears_alone, on_heard
        self.figures = HearingFigures()
        self._work = work
        self._translator = translator
        self._speakers = speakers
        self._read_positions = read_positions
        self._body_bytes_max = body_bytes_max
        self._backoff = Backoff()
        self._looked_at = -math.inf
        self.positions: dict[Position, int] = {}
        self.gaps: dict[Position, int] = {}
        self.fault: str | None = None
        self.batches = self.records = self.duplicates = self.given_up = self.parked = 0
        self.turned_at = self.tried_at = time.monotonic()

    def idle(self) -> None:
        """Nothing came: a batch that was handed back and does not come again went to another replica."""
        if self.fault and time.monotonic() - self.tried_at > REDELIVERY_SECONDS:
            self.fault = None

    async def handle(self, records: Sequence[Any], ours: Callable[[], bool] = lambda: True) -> None:
        """Process a batch until it is committed. Raises when a fault outlasts our patience, or when the batch is not
        `ours` any more: a customer's change that waits here may have been made elsewhere, and a later one after it.
        """
        received = [read(record, self._speakers, self._body_bytes_max) for record in records]
        started, watch, duplicates = time.monotonic(), Lap(), self.duplicates
        while True:
            self.tried_at = time.monotonic()
            try:
                if not self.positions:
                    self.positions = await self._read_positions()
                await isolating(received, self._process, self._spoil)
                break
            except PositionsMoved:
                self.positions = {}  # read anew above, where a store that is away meanwhile is waited for
            except Exception as error:
                self.fault = in_words(error)
                log.warning("consumer waits", fault=self.fault)
                await self._backoff.wait()
                if not ours():
                    self.given_up += len(records)
                    raise
                if not passes(error) or time.monotonic() - started > self._patience():
                    raise  # it is delivered again at once, so even what does not pass must wait before
        self.fault = None
        self._backoff.reset()
        self.batches += 1
        self.records += len(records)
        self.figures.records.add(len(records))
        self.figures.seconds.add(watch.total())
        if self.duplicates == duplicates and not self.gaps:
            self._on_heard(received)
        self.turned_at = time.monotonic()

    def _patience(self) -> float:
        return standing_by.PATIENCE_SECONDS if self._hears_alone else PATIENCE_SECONDS

    async def _process(self, received: Sequence[Received]) -> None:
        heard = sift(received, self.positions, self._translator)
        # What is dropped by a picture that is older than LOOK_SECONDS is a hole later, and said again.
        repeated = heard.duplicates and time.monotonic() - self._looked_at > LOOK_SECONDS
        if (heard.gaps or repeated) and await self._picture_was_old():
            heard = sift(received, self.positions, self._translator)
        self.duplicates += heard.duplicates
        if heard.works or heard.moves:
            await self._work.run(Batch(heard.works, heard.moves))
            for position, (_, after) in heard.moves.items():
                self.positions[position] = after
            self._report(heard.works)
        self._note_gaps(heard.gaps)

    def _note_gaps(self, skipped: Mapping[Position, int]) -> None:
        """A hole is closed when all that was skipped behind it was heard, not when only it was filled."""
        for position, last in skipped.items():
            self.gaps[position] = max(last, self.gaps.get(position, 0))
        for position in [position for position, last in self.gaps.items() if self.positions[position] >= last]:
            del self.gaps[position]

    async def _picture_was_old(self) -> bool:
        """Whether others have moved the positions: heard a lane while it was theirs, or set it back to hear again."""
        fresh = await self._read_positions()
        self._looked_at = time.monotonic()
        if fresh == self.positions:
            return False
        self.positions = fresh
        return True

    async def _spoil(self, received: Received, error: Exception) -> None:
        received.poison = error
        await self._process([received])

    def _report(self, works: Sequence[Any]) -> None:
        for work in works:
            if work.error is not None or work.waits:
                self.parked += 1
                # What a message is about stands in its envelope; a speaker of the outside may leave that out.
                about = {"subject": work.corr} if work.corr != work.cause else {}
                log.error(
                    "message parked",
                    message=work.cause,
                    **about,
                    waits=work.waits,
                    error=str(work.error or ""),
                    trace_id=work.trace[3:35],
                )
