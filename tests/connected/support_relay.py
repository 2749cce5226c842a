"""A relay of the toy on a real store and a real broker: what it is given to say, and what it has said."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from shared.eventsourced.decider import To
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.reading import read
from shared.eventsourced.relay import Relay
from shared.eventsourced.unit_of_work import Batch
from shared.eventsourced.work import Work
from shared.kafka import CONTROL_TOPIC, dead_letter_topic, ensure_topics
from tests.connected.support_engine import (
    Database,
    Replica,
    counts,
    everything_on,
)
from tests.engine.toy import SAYS, AddCoins, jar

TOPIC = "o2c.credit.events"
CUSTOMERS = list({lane_of(f"C-{n}"): f"C-{n}" for n in range(60)}.values())[:12]
"""Each with a lane of its own."""


async def say(replica: Replica, count: int, start: int = 0) -> None:
    """That many public facts, spread over the customers, in transactions of twenty."""
    works = [
        Work([To(jar, CUSTOMERS[n % 12], AddCoins(CUSTOMERS[n % 12], f"O-{n}", 1))])
        for n in range(start, start + count)
    ]
    for first in range(0, count, 20):
        await replica.work.run(Batch(works[first : first + 20]))


def new_relay(database: Database, servers: str, **changes: Any) -> Relay:
    """A relay of the toy service."""

    async def topics() -> None:
        wanted = {TOPIC, CONTROL_TOPIC, dead_letter_topic("credit")}
        await ensure_topics(servers, wanted, partitions=4, replication=1)

    values: dict[str, Any] = {"says": SAYS, "records_max": 50, "poll_ms": 20, "heads_seconds": 0.5}
    return Relay("credit", dsn=database.dsn, servers=servers, ensure_topics=topics, **{**values, **changes})


@asynccontextmanager
async def led(*relays: Relay) -> AsyncIterator[None]:
    """The relays at work."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def true(condition: Callable[[], Any]) -> Callable[[], Any]:
    """A condition as `eventually` wants it."""

    async def holds() -> Any:
        return condition()

    return holds


async def said(servers: str) -> dict[int, list[int]]:
    """Lane → the sequences as they lie on the topic."""
    lanes: dict[int, list[int]] = {}
    for record in await everything_on(servers, TOPIC):
        received = read(record, {TOPIC: "credit"}, 1_000_000)
        assert received.lane == lane_of(record.key.decode())
        lanes.setdefault(received.lane, []).append(received.sequence)
    return lanes


def first_hearing(sequences: list[int]) -> list[int]:
    """What a listener takes of them: the next one, and only that."""
    position = 0
    for sequence in sequences:
        position += sequence == position + 1
    return list(range(1, position + 1))


async def counted(process: Any, count: int) -> bool:
    """Whether so many orders are counted."""
    return len(await counts(process.pool)) == count
