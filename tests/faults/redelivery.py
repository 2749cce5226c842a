"""What Kafka would bring once more to a service that has ended, although its store has taken it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from o2c.documents.flow import heard_by, load_services
from shared.contracts.catalogue import SPEAKERS
from shared.settings import Settings
from tests.faults.harness import System
from tests.support.kafka_client import partitions_of

_SPEAKERS = {speaker.topic: name for name, speaker in SPEAKERS.items()}


async def to_be_heard_again(system: System, service: str, since: int) -> list[str]:
    """These messages, by topic and id. `since`: the service's newest notification id before the orders of this case.

    What another service said has been taken up to the store's position. What comes from outside has no position: it
    has been taken if a fact names it as its cause.
    """
    rows = await system.sql(service, "SELECT speaker, lane, sequence FROM positions")
    positions = {(speaker, lane): sequence for speaker, lane, sequence in rows}
    rows = await system.sql(
        service,
        "SELECT DISTINCT convert_from(state, 'UTF8')::jsonb #>> '{m,cause}' FROM events WHERE notification_id > $1",
        since,
    )
    causes = {cause.encode() for (cause,) in rows if cause}
    again: list[str] = []
    known: set[bytes] = set()  # some say the same twice by themselves: of those the first has been taken
    async with AIOKafkaConsumer(bootstrap_servers=system.servers, group_id=service, enable_auto_commit=False) as group:
        told = await _told(group, await _heard_by(system.servers, service))
        async for partition, record in _records(group, told):
            headers = dict(record.headers)
            id_ = headers.get("ce_id") or b""  # other cases may have left garbage
            if speaker := _SPEAKERS.get(record.topic):
                taken = int(headers["ce_lanesequence"]) <= positions[speaker, int(headers["ce_lane"])]
            else:
                taken = id_ in causes and id_ not in known
            known.add(id_)
            if taken and record.offset >= told[partition]:
                again.append(f"{record.topic} {id_.decode()}")
    return again


async def _heard_by(servers: str, service: str) -> list[TopicPartition]:
    topics = sorted({contract.topic for contract in heard_by(load_services(Settings())[service])})
    return [TopicPartition(topic, n) for topic in topics for n in range(await partitions_of(servers, topic))]


async def _told(group: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """From where the group would go on."""
    group.assign(partitions)
    return {partition: await group.committed(partition) or 0 for partition in partitions}


async def _records(
    group: AIOKafkaConsumer, told: Mapping[TopicPartition, int]
) -> AsyncIterator[tuple[TopicPartition, Any]]:
    """What is there now: of services from where the group would go on, from outside all."""
    begins, ends = await group.beginning_offsets(list(told)), await group.end_offsets(list(told))
    at = {p: max(begins[p], told[p] if p.topic in _SPEAKERS else 0) for p in told}
    for partition, offset in at.items():
        group.seek(partition, offset)
    while any(at[p] < ends[p] for p in at):
        for partition, records in (await group.getmany(timeout_ms=200, max_records=5_000)).items():
            for record in records:
                yield partition, record
            at[partition] = await group.position(partition)
