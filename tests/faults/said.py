"""What the stores have to say, compared with what came of it: every public fact stands on the topics, copies are true
copies, and analytics has every row that follows from it, once.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from o2c.documents.flow import load_services
from services.analytics.projections import PROJECTIONS
from shared.contracts.catalogue import SPEAKERS
from shared.eventsourced.facts import instant_of
from shared.eventsourced.mapper import decode_fact
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import MessageProjection, Row, Table
from shared.eventsourced.publishing import Publishing, lane_of_bytes
from shared.eventsourced.rows import merge_rows
from shared.settings import Settings

TOPICS = tuple(sorted(s.topic for s in SPEAKERS.values()))
FACTS_MAX = 10_000
"""So many are read at once."""


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


# ---- what analytics made of it

Rows = dict[Table, list[Row]]
Ask = Callable[..., Awaitable[list[Any]]]
"""(service, statement, arguments) → rows, as `System.sql`."""


async def wrong_rows(ask: Ask) -> list[str]:
    """Where the tables of analytics are not what everything that was ever said leads to, heard once; none is left out.

    The stores are asked what that is: Kafka keeps nothing for ever. To be asked when everything has been heard.
    """
    says = {name: service.says for name, service in load_services(Settings()).items() if name in SPEAKERS}
    due: Rows = {projection.table: [] for projection in PROJECTIONS}
    for speaker in SPEAKERS:
        after = 0
        while facts := await ask(speaker, _PUBLIC, after, FACTS_MAX):
            await asyncio.to_thread(_add, due, says[speaker], facts)
            after = facts[-1]["notification_id"]
    wrong: list[str] = []
    for table, rows in due.items():
        columns = ", ".join(column.name for column in table.all_columns)
        shown = Counter(map(tuple, await ask("analytics", f"SELECT {columns} FROM {table.name}")))
        expected = Counter(rows)
        wrong += [f"{table.name} has {row}" for row in (shown - expected).elements()]
        wrong += [f"{table.name} lacks {row}" for row in (expected - shown).elements()]
    return wrong


_PUBLIC = """
SELECT originator_id, originator_version, topic, state, notification_id FROM events
WHERE lane IS NOT NULL AND topic <> 'engine.Lost' AND notification_id > $1 ORDER BY notification_id LIMIT $2
"""


def _add(rows: Rows, says: Publishing, facts: Iterable[Sequence[Any]]) -> None:
    """The rows that follow from these facts of one speaker, in its order, merged with those that are there."""
    for stream, version, topic, state, _ in facts:
        recorded = decode_fact(stream, version, topic, state)
        message = says[type(recorded.fact)].of(recorded.fact)
        heard = Heard(recorded.id, topic, instant_of(recorded.meta.at))
        for projection in PROJECTIONS:
            assert isinstance(projection, MessageProjection)
            if (rows_of := projection.rows.get(type(message))) is not None:
                rows[projection.table].extend(rows_of(message, heard))
    for table, its in rows.items():
        its[:] = merge_rows(table, its)
