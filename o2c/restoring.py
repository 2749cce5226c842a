"""After a service's database was restored: what the world has heard of it is found, and its store mended."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError

from o2c.documents.flow import load_services
from o2c.environment import settings
from o2c.stack import SERVICES
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS
from shared.contracts.messages import contract_of
from shared.errors import ConflictError, UnavailableError
from shared.eventsourced.reading import read
from shared.eventsourced.restoring import Said, mend
from shared.values import Value

CONNECT_SECONDS_MAX = 5.0
MEND_SECONDS_MAX = 3_600.0
BODY_BYTES_MAX = 1 << 30
"""Whatever the broker took."""
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


async def restored(database_of: Callable[[str], str], kafka_servers: str, service: str, at_us: int) -> Restored:
    """Bring a restored store in line with what was said before. ConflictError while a process of the service runs.

    Needs the stores of all services and Kafka: what nobody can be asked about would be said twice.
    """
    connection = await asyncpg.connect(
        database_of(service), timeout=CONNECT_SECONDS_MAX, command_timeout=MEND_SECONDS_MAX
    )
    try:
        await _nobody_runs(connection, service)
        heads = dict(await connection.fetch("SELECT lane, head FROM lanes"))
        heard = await _heard_by_others(database_of, service)
        async with AIOKafkaConsumer(
            bootstrap_servers=kafka_servers, group_id=service, enable_auto_commit=False
        ) as consumer:
            cluster = await consumer._client.fetch_all_metadata()  # it has no other way to ask for all partitions
            said = await said_by(consumer, cluster, service)
            for lane, head in heads.items():
                # Those who lag behind will hear what stands there next; beyond a hole stands nothing of the speaker's.
                heard[lane] = max(heard.get(lane, 0), head)
                while (lane, heard[lane] + 1) in said:
                    heard[lane] += 1
            known = {(lane, n): what for (lane, n), what in said.items() if heads[lane] < n <= heard[lane]}
            inbound = await _hear_again(consumer, cluster, service)
            async with connection.transaction():
                filled = await mend(connection, heard, known, at_us)
    finally:
        await connection.close()
    return _report(service, sum(filled.values()), known, inbound)


def _report(service: str, count: int, known: Mapping[Place, Said], inbound: tuple[str, ...]) -> Restored:
    messages: dict[str, list[str]] = {}
    for _, said in sorted(known.items()):
        messages.setdefault(said.type, []).append(said.id)
    lost = Counter({kind: len(ids) for kind, ids in messages.items()})
    if count > len(known):
        lost[""] = count - len(known)
    return Restored(service, lost, messages, inbound)


async def _nobody_runs(connection: Any, service: str) -> None:
    running = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'o2c'"
    )
    if running:
        raise ConflictError(f"{service} runs: stop all of its processes, and run this again before they start")


async def _heard_by_others(database_of: Callable[[str], str], service: str) -> dict[int, int]:
    """How far the others have heard this service: lane → sequence."""
    heard: dict[int, int] = {}
    for listener in SERVICES:
        if listener == service:
            continue
        connection = await asyncpg.connect(database_of(listener), timeout=CONNECT_SECONDS_MAX)
        try:
            rows = await connection.fetch("SELECT lane, sequence FROM positions WHERE speaker = $1", service)
        finally:
            await connection.close()
        for lane, sequence in rows:
            heard[lane] = max(sequence, heard.get(lane, 0))
    return heard


async def said_by(consumer: AIOKafkaConsumer, cluster: Any, service: str) -> dict[Place, Said]:
    """What stands on the service's own topic: the first message at each place, which is the one that was heard.

    UnavailableError when it holds records that cannot be read: behind them stands what would be said twice.
    """
    partitions = _partitions(cluster, SPEAKERS[service].topic) if service in SPEAKERS else []
    if not partitions:  # also when Kafka is new: what others have heard is known from their stores
        return {}
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends = await consumer.end_offsets(partitions)
    found: dict[Place, Said] = {}
    while [p for p in partitions if await consumer.position(p) < ends[p]]:
        for records in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
            for record in records:
                received = read(record, {record.topic: service}, BODY_BYTES_MAX)
                received.open()
                place = received.lane, received.sequence
                if received.poison is None and place not in found:
                    found[place] = Said(received.id, received.type, _number(received.body))
        if consumer.paused():  # see `shared.kafka_mends`
            raise UnavailableError(f"Kafka holds records of {service} that cannot be read: the log says where")
    return found


class _Document(msgspec.Struct):
    number: str = ""


def _number(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Document).number
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


async def _hear_again(consumer: AIOKafkaConsumer, cluster: Any, service: str) -> tuple[str, ...]:
    """Set the service's group back to the beginning of the inbound topics: what came in after the backup was heard by
    nobody else, and what came before is known by its ids."""
    heard = {contract_of(message).topic for message in load_services(settings())[service].hears}
    topics = sorted(heard & set(INBOUND_TOPICS))
    partitions = [partition for topic in topics for partition in _partitions(cluster, topic)]
    if not partitions:
        return ()
    consumer.assign(partitions)
    begins = await consumer.beginning_offsets(partitions)
    for _ in range(GROUP_SECONDS_MAX):
        try:
            await consumer.commit(begins)
        except CommitFailedError:
            await asyncio.sleep(1)  # a process that was killed is a member until its session ends
        else:
            return tuple(topics)
    raise ConflictError(f"the consumer group {service} still has members: stop all processes of the service")


def _partitions(cluster: Any, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, n) for n in sorted(cluster.partitions_for_topic(topic) or ())]
