"""After a service's database was restored: what the world has heard of it is found, and its store mended."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError

from o2c.documents.flow import load_services
from o2c.environment import settings
from o2c.stack import SERVICES
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS
from shared.contracts.messages import contract_of
from shared.errors import ConflictError
from shared.eventsourced.restoring import Said, mend
from shared.frame.own_topic import partitions_of, said_since
from shared.values import Value

CONNECT_SECONDS_MAX = 5.0
MEND_SECONDS_MAX = 3_600.0
GROUP_SECONDS_MAX = 30
"""Longer than the session of a consumer that was killed."""

Place = tuple[int, int]
"""(lane, sequence)"""


class Restored(Value, frozen=True, gc=False):
    """What was done. `lost`: type → how many messages were said and are forgotten ("": what they were is not known);
    `messages`: the ids of those that Kafka still holds, by type; `inbound`: topics that are heard again."""

    service: str
    lost: Mapping[str, int]
    messages: Mapping[str, list[str]]
    inbound: tuple[str, ...]


DatabaseOf = Callable[[str], str]
"""Service → the address of its database."""


async def restored(
    own: DatabaseOf, others: DatabaseOf, kafka_servers: str, services: Sequence[str], at_us: int
) -> list[Restored]:
    """Bring the restored stores of these services in line with what was said before. ConflictError while one runs.

    Needs the stores of all services and Kafka: what nobody can be asked about would be said twice. `own`: as who may
    write there; `others`: as who reads what the others have heard.
    """
    for service in services:  # all of them, before the first is changed
        async with _connected(own(service)) as connection:
            await _nobody_runs(connection, service)
    return [await _restored(own(service), others, kafka_servers, service, at_us) for service in services]


async def _restored(address: str, others: DatabaseOf, kafka_servers: str, service: str, at_us: int) -> Restored:
    async with (
        _connected(address) as connection,
        AIOKafkaConsumer(bootstrap_servers=kafka_servers, group_id=service, enable_auto_commit=False) as consumer,
    ):
        heads = dict(await connection.fetch("SELECT lane, head FROM lanes"))
        heard = await _heard_by_others(others, service)
        said, expired = await said_by(consumer, service)
        sequences: dict[int, set[int]] = {lane: set() for lane in heads}
        for lane, sequence in said:
            sequences[lane].add(sequence)
        for lane, head in heads.items():
            heard[lane] = reached(max(heard.get(lane, 0), head), sequences[lane], expired)
        known = {(lane, n): what for (lane, n), what in said.items() if heads[lane] < n <= heard[lane]}
        inbound = await _set_group(consumer, service)
        async with connection.transaction():
            filled = await mend(connection, heard, known, at_us)
    return _report(service, sum(filled.values()), known, inbound)


def reached(last: int, said: Collection[int], expired: int) -> int:
    """How far a lane was spoken in, beyond what is known otherwise (`last`).

    `said`: what stands on the topic. Those who lag behind will hear that next. Beyond a hole stands nothing of the
    speaker's, unless all that came before has expired: `expired` is how many records have, at most.
    """
    first = min(said, default=0)
    if last + 1 < first <= last + 1 + expired:
        last = first - 1
    while last + 1 in said:
        last += 1
    return last


def _report(service: str, count: int, known: Mapping[Place, Said], inbound: tuple[str, ...]) -> Restored:
    messages: dict[str, list[str]] = {}
    for _, said in sorted(known.items()):
        messages.setdefault(said.type, []).append(said.id)
    lost = Counter({kind: len(ids) for kind, ids in messages.items()})
    if count > len(known):
        lost[""] = count - len(known)
    return Restored(service, lost, messages, inbound)


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(address, timeout=CONNECT_SECONDS_MAX, command_timeout=MEND_SECONDS_MAX)
    try:
        yield connection
    finally:
        await connection.close()


async def _nobody_runs(connection: Any, service: str) -> None:
    running = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'o2c'"
    )
    if running:
        raise ConflictError(f"{service} runs: stop all of its processes, and run this again before they start")


async def _heard_by_others(database_of: DatabaseOf, service: str) -> dict[int, int]:
    """How far the others have heard this service: lane → sequence."""
    heard: dict[int, int] = {}
    for listener in SERVICES:
        if listener == service:
            continue
        async with _connected(database_of(listener)) as connection:
            rows = await connection.fetch("SELECT lane, sequence FROM positions WHERE speaker = $1", service)
        for lane, sequence in rows:
            heard[lane] = max(sequence, heard.get(lane, 0))
    return heard


async def said_by(consumer: AIOKafkaConsumer, service: str) -> tuple[dict[Place, Said], int]:
    """What stands on the service's own topic: the first message at each place, which is the one that was heard; and how
    many records have expired there, at most.

    UnavailableError when it holds records that cannot be read: behind them stands what would be said twice.
    """
    partitions = await partitions_of(consumer, SPEAKERS[service].topic) if service in SPEAKERS else []
    found: dict[Place, Said] = {}
    if not partitions:  # also when Kafka is new: what others have heard is known from their stores
        return found, 0
    begins = await consumer.beginning_offsets(partitions)
    async for received in said_since(consumer, service, begins):
        place = received.lane, received.sequence
        if place not in found:
            found[place] = Said(received.id, received.type, _number(received.body))
    return found, sum(begins.values())


class _Document(msgspec.Struct):
    number: str = ""


def _number(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Document).number
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


async def _set_group(consumer: AIOKafkaConsumer, service: str) -> tuple[str, ...]:
    """Set the service's group back to the beginning of the inbound topics: what came in after the backup was heard by
    nobody else, and what came before is known by its ids. Returns these topics.

    On all others it is set to the end. What services say it asks them for, from their stores: where they were restored,
    too, Kafka holds what they have forgotten. On its own topic the group says what was reckoned with here.
    """
    heard = {contract_of(message).topic for message in load_services(settings())[service].hears}
    inbound = sorted(heard & set(INBOUND_TOPICS))
    again = [partition for topic in inbound for partition in await partitions_of(consumer, topic)]
    own = {SPEAKERS[service].topic} if service in SPEAKERS else set()
    passed = [p for topic in sorted((heard | own) - set(inbound)) for p in await partitions_of(consumer, topic)]
    if not again and not passed:
        return ()
    consumer.assign([*again, *passed])
    offsets = {**(await consumer.beginning_offsets(again)), **(await consumer.end_offsets(passed))}
    for _ in range(GROUP_SECONDS_MAX):
        try:
            await consumer.commit(offsets)
        except CommitFailedError:
            await asyncio.sleep(1)  # a process that was killed is a member until its session ends
        else:
            return tuple(inbound) if again else ()
    raise ConflictError(f"the consumer group {service} still has members: stop all processes of the service")
