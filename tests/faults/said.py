"""What stands on the topics, compared with the stores: every public fact is there, and copies are true copies."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.catalogue import SPEAKERS
from shared.eventsourced.publishing import lane_of_bytes

TOPICS = tuple(sorted(s.topic for s in SPEAKERS.values()))


@dataclass
class Topics:
    """What was found on the topics. `copies`: records beyond the first of an id, which listeners drop.

    `forgotten`: places (topic, lane, sequence) whose facts were lost with an older backup; nothing there counts.
    `leaps`: where a lane went on by more than one step, as a lane that changed its partition seems to do.
    """

    ids: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)
    copies: int = 0
    wrong: list[str] = field(default_factory=list)
    forgotten: Container[tuple[str, int, int]] = frozenset()
    leaps: list[str] = field(default_factory=list)
    _reached: dict[tuple[str, int], int] = field(default_factory=dict, init=False)

    def take(self, topic: str, records: Iterable[Any], positions: dict[tuple[str, int, int], str]) -> None:
        """Take note of records: the same id means the same place and the same words, and no place has two ids.

        A key's messages are in its lane.
        """
        for record in records:
            headers = dict(record.headers)
            id_ = headers["ce_id"].decode()
            lane, sequence = int(headers["ce_lane"]), int(headers["ce_lanesequence"])
            if (topic, lane, sequence) in self.forgotten:
                continue
            if lane_of_bytes(record.key) != lane:
                self.wrong.append(f"{id_} stands in lane {lane} under the key {record.key!r}")
            said = (lane, sequence, record.value)
            if self.ids.setdefault(id_, said) is not said:
                self.copies += 1
                if self.ids[id_] != said:
                    self.wrong.append(f"{id_} differs from its copy")
            if positions.setdefault((topic, lane, sequence), id_) != id_:
                self.wrong.append(f"{topic} lane {lane}: sequence {sequence} is {id_} and another")
            reached = self._reached.setdefault((topic, lane), sequence)
            if sequence > reached + 1:
                self.leaps.append(f"{topic} lane {lane}: {sequence} after {reached}")
            self._reached[topic, lane] = max(sequence, reached)


async def ends_of(servers: str) -> dict[TopicPartition, int]:
    """Where each partition of the services' topics ends now."""
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        return dict(await consumer.end_offsets(await _partitions(consumer)))


async def read_topics(
    servers: str, since: Mapping[TopicPartition, int], forgotten: Container[tuple[str, int, int]] = frozenset()
) -> Topics:
    """Everything on the services' topics from these offsets (others: from the beginning) to the present end."""
    found, positions = Topics(forgotten=forgotten), {}
    async with AIOKafkaConsumer(bootstrap_servers=servers, max_partition_fetch_bytes=4_000_000) as consumer:
        partitions = await _partitions(consumer)
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        at = {p: max(begins[p], since.get(p, 0)) for p in partitions}
        for partition, offset in at.items():
            consumer.seek(partition, offset)
        while any(at[p] < ends[p] for p in partitions):
            for partition, records in (await consumer.getmany(timeout_ms=200, max_records=5_000)).items():
                records = [record for record in records if record.offset < ends[partition]]
                found.take(partition.topic, records, positions)
                at[partition] = await consumer.position(partition)
    return found


async def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    await consumer._client.force_metadata_update()
    existing = await consumer.topics()
    found = []
    for topic in sorted(existing & set(TOPICS)):
        found += [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    return found
