"""A broker that is two lists: what is sent, and what is to be heard. It loses what it is told to lose.

The real brokers are in `tests/connected/` and `tests/faults/`; this one can be crashed between any two of its steps.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, KafkaConnectionError

from shared.eventsourced.reading import Received, read
from shared.eventsourced.resending import Control
from shared.kafka import CONTROL_TOPIC, dead_letter_topic
from tests.engine.records import Headers, Record

TOPIC = "o2c.credit.events"
BATCH_RECORDS_MAX = 1


@dataclass
class Tape:
    """What lies on the topics. `failures`: for the next sendings, what happens: "lost", "unheard" or nothing.

    `heard`: what others have said to us, by partition; `commits`: every word of the group, in order, on up to where it
    has heard; `refusals`: so many of the next ones are refused.
    """

    records: list[Record] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    partitions: int = 2
    heard: Mapping[TopicPartition, list[Record]] = field(default_factory=dict)
    commits: list[Mapping[TopicPartition, int]] = field(default_factory=list)
    refusals: int = 0

    def producer(self, _: str = "") -> "TapeProducer":
        """As `new_producer` of the relay."""
        return TapeProducer(self)

    def said(self) -> list[Received]:
        """The public messages in the order in which they were said."""
        said = [read(record, {TOPIC: "credit"}, 1_000_000) for record in self.records if record.topic == TOPIC]
        for received in said:
            received.open()
        return said

    def heads(self) -> list[dict[int, int]]:
        """Lane → head, as often as that was said."""
        return [control.heads for control in self.controls("heads")]

    def controls(self, kind: str) -> list[Control]:
        """The control messages of one kind."""
        controls = [msgspec.json.decode(r.value or b"", type=Control) for r in self.records if r.topic == CONTROL_TOPIC]
        return [control for control in controls if control.kind == kind]

    def told(self) -> dict[TopicPartition, int]:
        """Where whoever takes over begins."""
        return {place: offset for commit in self.commits for place, offset in commit.items()}

    def ends(self) -> dict[TopicPartition, int]:
        """Where the log ends."""
        return {place: len(records) for place, records in self.heard.items()}

    def letters(self) -> set[int]:
        """Ids of the dead letters that were told."""
        return {
            int(dict(record.headers)["o2c_letter"] or b"")
            for record in self.records
            if record.topic == dead_letter_topic("credit")
        }


class TapeBatch:
    """A record batch that is full at once, so that even a small test fills several."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes, Headers]] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: Headers) -> object | None:
        if len(self.records) == BATCH_RECORDS_MAX:
            return None
        self.records.append((key, value, tuple(headers)))
        return self

    def close(self) -> None:
        """Nothing more is appended."""


class TapeProducer:
    """The part of a producer that the relay uses; every call really waits."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        await asyncio.sleep(0)

    async def partitions_for(self, topic: str) -> set[int]:
        await asyncio.sleep(0)
        return set(range(self._tape.partitions if topic == TOPIC else 1))

    def create_batch(self) -> TapeBatch:
        return TapeBatch()

    async def send_batch(self, batch: TapeBatch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        await asyncio.sleep(0)
        failure = self._tape.failures.pop(0) if self._tape.failures else ""
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            if failure != "lost":
                self._tape.records += [
                    Record(value, headers, topic, key, partition) for key, value, headers in batch.records
                ]
            if not sent.done():
                if failure:
                    sent.set_exception(KafkaConnectionError(failure))
                else:
                    sent.set_result(None)

        loop.call_soon(arrive)
        return sent


class TapeClient:
    """The part of a consumer that is used: a member that has all partitions, or none. Every question really waits.

    `patience`: so many polls may bring nothing before it is stopped. `drained`: everything was taken once.
    """

    def __init__(self, tape: Tape, patience: int) -> None:
        self._tape, self._patience = tape, patience
        self.taken = dict.fromkeys(tape.heard, 0) | tape.told()
        self.ours = True
        self.sought = 0
        self.drained = asyncio.Event()

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        found: dict[TopicPartition, list[Record]] = {}
        for place, records in self._tape.heard.items() if self.ours else ():
            start = self.taken[place]
            if more := records[start : start + max_records]:  # other partitions answer the next question
                found[place] = more
                self.taken[place] += len(more)
                break
        if self.taken == self._tape.ends() and (not timeout_ms or sum(map(len, found.values())) == max_records):
            self.drained.set()  # of few records the next question follows: only then they are in hand
        if timeout_ms and not found:  # nobody minds that a question for more brings nothing
            self._patience -= 1
            if self._patience < 0:
                raise ConsumerStoppedError
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int] | None) -> None:
        told = dict(self.taken) if offsets is None else dict(offsets)
        await asyncio.sleep(0)
        if self._tape.refusals:
            self._tape.refusals -= 1
            raise CommitFailedError
        self._tape.commits.append(told)

    def assignment(self) -> set[TopicPartition]:
        return set(self.taken) if self.ours else set()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.taken[partition] = offset
        self.sought += 1
