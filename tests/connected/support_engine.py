"""The engine on a real PostgreSQL and a real broker: a database per test, the toy service's parts, small listeners."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faststream.kafka import KafkaBroker

from shared.contracts.catalogue import SPEAKERS, contracts
from shared.contracts.credit import CreditApproved
from shared.contracts.messages import contract_of
from shared.contracts.orders import OrderPlaced
from shared.eventsourced.acknowledging import Acknowledging
from shared.eventsourced.cache import StateCache
from shared.eventsourced.command_queue import CommandQueue
from shared.eventsourced.consumer import Consumer, subscribe
from shared.eventsourced.decider import To
from shared.eventsourced.fresh import Appended
from shared.eventsourced.gathering import Gathering
from shared.eventsourced.hearing import Translator
from shared.eventsourced.policy import Heard, no_reactions
from shared.eventsourced.projecting import MessageProjection
from shared.eventsourced.reading import Decoders, read
from shared.eventsourced.retrying import Letters
from shared.eventsourced.service import Service
from shared.eventsourced.store import Store
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.work import Work
from shared.eventsourced.writing import Position
from shared.frame.running import Running
from shared.settings import Settings
from tests.engine.records import Record
from tests.engine.toy import NUMBERED, Count, WriteReceipt, jar, tally, toy_service
from tests.support.kafka_client import partitions_of

WAIT_SECONDS_MAX = 30.0
SERVICE = "credit"


async def eventually(holds: Callable[[], Awaitable[Any]], seconds_max: float = WAIT_SECONDS_MAX) -> Any:
    """What `holds()` answers once it answers something true; fails when it does not in time."""
    try:
        async with asyncio.timeout(seconds_max):
            while not (answer := await holds()):
                await asyncio.sleep(0.02)
            return answer
    except TimeoutError:
        raise AssertionError(f"waited {seconds_max} s in vain") from None


@dataclass
class Database:
    """One database of a service called `credit`."""

    server: str
    prefix: str

    @property
    def dsn(self) -> str:
        return f"{self.server}/{self.prefix}{SERVICE}"

    def settings(self, servers: str, **changes: Any) -> Settings:
        """For a process on this database, with short waits."""
        values: dict[str, Any] = {
            "database_url": self.server,
            "database_prefix": self.prefix,
            "kafka_servers": servers,
            "heads_seconds": 0.5,
            "relay_poll_ms": 20,
            "log_level": "ERROR",
        }
        return Settings(**{**values, **changes})


async def create(server: str, database: str, template: str = "template1") -> None:
    """A database with exactly this name."""
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    finally:
        await connection.close()


CreateToyDatabase = Callable[[], Awaitable[Database]]


class Replica:
    """The parts of one process of a service, without its tasks: what two replicas do can be put in any order."""

    def __init__(self, service: Service, pool: Any, *, cached: int = 1_000) -> None:
        self.service, self.pool = service, pool
        self.commits = 0
        self.on_commit: Callable[[Appended], None] = lambda appended: None
        self.store = Store(StateCache(1_000 * cached))
        self.work = UnitOfWork(service, pool, self.store, on_commit=self._committed)
        self.queue = CommandQueue(self.work, pool, self.store, queued_max=1_000, batch_max=500)
        projections = [p for p in service.projections if isinstance(p, MessageProjection)]
        translator = Translator(service.hears, projections, Decoders(contracts(), service.hears))
        topics = {contract_of(message).topic for message in service.hears}
        speakers = {s.topic: s.name for s in SPEAKERS.values() if s.topic in topics}
        self.consumer = Consumer(self.work, translator, speakers, self.read_positions, body_bytes_max=1_000_000)
        self.letters = Letters(pool, self.work, translator, lambda record: read(record, speakers, 1_000_000))

    def _committed(self, appended: Appended) -> None:
        self.commits += 1
        self.on_commit(appended)

    async def read_positions(self) -> dict[Position, int]:
        rows = await self.pool.fetch("SELECT speaker, lane, sequence FROM positions")
        return {(speaker, lane): sequence for speaker, lane, sequence in rows}

    async def do(self, *commands: To[Any]) -> Work:
        """One work with these commands, committed; its error is raised."""
        work = Work(commands)
        await self.work.run(Batch([work]))
        if work.error is not None:
            raise work.error
        return work

    async def events(self) -> list[Any]:
        """All facts as stored, in commit order."""
        rows: list[Any] = await self.pool.fetch("SELECT * FROM events ORDER BY notification_id")
        return rows

    async def letters_open(self) -> list[tuple[str, str]]:
        """(message id, status) of letters that are neither done nor dropped."""
        rows = await self.pool.fetch("SELECT * FROM dead_letters WHERE status IN ('parked','waiting') ORDER BY id")
        return [(row["message_id"], row["status"]) for row in rows]


OpenReplica = Callable[..., Awaitable[Replica]]
_WAITING_TO_WRITE = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
"""


async def waiting_to_write(pool: Any, number: int) -> list[str]:
    """What is asked by those who wait for somebody else's writing, once they are so many."""
    queries = [query for (query,) in await pool.fetch(_WAITING_TO_WRITE)]
    return queries if len(queries) == number else []


# ---- listeners that count


def _count_order(message: OrderPlaced | CreditApproved, _: Heard) -> Sequence[To[Any]]:
    return [To(tally, message.order_id, Count(message.customer_id))]


def counting_service(message: type[Any] = OrderPlaced) -> Service:
    """Counts each message on a stream of its order and never forgives a repeat: every count must end at 1."""
    return replace(toy_service(says={}, projections=(), reactions=no_reactions), hears={message: _count_order})


def receipting_service() -> Service:
    """Writes a numbered receipt for each order, on a stream of the order."""
    quiet = toy_service(says={}, projections=(), reactions=no_reactions, series=NUMBERED)
    return replace(quiet, hears={OrderPlaced: lambda placed, _: [To(jar, placed.order_id, WriteReceipt("C", "r"))]})


async def counts(pool: Any) -> dict[str, int]:
    """Order → how often it was counted."""
    rows = await pool.fetch("SELECT originator_id, count(*) FROM events WHERE originator_id LIKE 'tally-%' GROUP BY 1")
    return {stream.removeprefix("tally-"): count for stream, count in rows}


async def counted_in_order(pool: Any) -> list[str]:
    """Orders in the order in which they were counted."""
    rows = await pool.fetch("SELECT originator_id FROM events ORDER BY notification_id")
    return [stream.removeprefix("tally-") for (stream,) in rows]


# ---- processes and the broker


@asynccontextmanager
async def running(service: Service, settings: Settings, *, ready: bool = True) -> AsyncIterator[Running]:
    """A whole service process in this one, stopped cleanly afterwards."""
    process = Running(service, settings)
    task = asyncio.create_task(process.run())
    try:
        if ready:
            await eventually(lambda: _ready(process, task))
        yield process
    finally:
        process.stop()
        async with asyncio.timeout(60):
            await task


async def _ready(process: Running, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    return hasattr(process, "consumer") and not await process.missing()


@asynccontextmanager
async def subscribed(
    servers: str, topic: str, handler: Callable[[list[Any]], Awaitable[None]], *, records_max: int = 100
) -> AsyncIterator[Acknowledging]:
    """A member of the group `credit`. It leaves without a last word: what it has done is for the caller to tell."""
    broker = KafkaBroker(servers, enable_idempotence=False, logger=None, graceful_timeout=1)  # for who never ends
    acknowledging = Acknowledging()
    gathering = Gathering(records_max=records_max, poll_ms=50, gather_ms=0)
    options: dict[str, Any] = {"gathering": gathering, "acknowledging": acknowledging}
    subscribe(broker, [topic], handler, group_id=SERVICE, wait_ms=50, session_ms=6_000, **options)
    await broker.start()
    try:
        yield acknowledging
    finally:
        await broker.stop()


async def send(servers: str, records: Sequence[Record], partitions: int | None = None) -> None:
    """Write records as a relay would: each to the partition of its lane, in order, acknowledged."""
    async with AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", max_request_size=5_000_000, max_batch_size=5_000_000
    ) as producer:
        for record in records:
            lane = int(dict(record.headers).get("ce_lane") or b"0")
            count = partitions or len(await producer.partitions_for(record.topic))
            headers = [(name, value) for name, value in record.headers]
            await producer.send(record.topic, record.value, record.key, partition=lane % count, headers=headers)
        await producer.flush()


async def everything_on(servers: str, topic: str) -> list[Any]:
    """All records of a topic from the beginning to its present end, partition by partition."""
    async with (
        asyncio.timeout(WAIT_SECONDS_MAX),
        AIOKafkaConsumer(bootstrap_servers=servers, max_partition_fetch_bytes=5_000_000) as consumer,
    ):
        partitions = [TopicPartition(topic, number) for number in range(await partitions_of(servers, topic))]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: dict[TopicPartition, list[Any]] = {partition: [] for partition in partitions}
        while sum(map(len, records.values())) < sum(ends.values()):
            for partition, found in (await consumer.getmany(timeout_ms=200)).items():
                records[partition].extend(found)
        return [record for partition in partitions for record in records[partition]]
