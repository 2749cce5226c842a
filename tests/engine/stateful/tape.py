"""A broker that is a list: it keeps what is sent in order, and can lose a message or its acknowledgement on demand.

The real brokers are in `tests/connected/` and `tests/faults/`; this one can be crashed between any two of its steps.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka.errors import KafkaConnectionError

from shared.eventsourced.reading import Received, read
from shared.kafka import CONTROL_TOPIC, dead_letter_topic
from tests.engine.records import Headers, Record

TOPIC = "o2c.credit.events"
BATCH_RECORDS_MAX = 1


@dataclass
class Tape:
    """What lies on the topics. `failures`: for the next sendings, what happens: "lost", "unheard" or nothing."""

    records: list[Record] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    partitions: int = 2

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
        values = [msgspec.json.decode(r.value or b"") for r in self.records if r.topic == CONTROL_TOPIC]
        return [{int(lane): head for lane, head in value["heads"].items()} for value in values]

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
