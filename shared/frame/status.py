"""What a running process says of itself to operators: `/status`, and how far it is behind Kafka."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from shared.errors import UnavailableError
from shared.eventsourced.letters import count_open

if TYPE_CHECKING:
    from shared.frame.running import Running

_HEADS = "SELECT coalesce(sum(head), 0)::bigint FROM lanes"
# From the store: what this process last saw of it is old when another replica leads.
_EVENTS_AND_CURSOR = "SELECT (SELECT coalesce(max(notification_id), 0) FROM events), (SELECT cursor FROM relay)"


async def status_of(running: "Running") -> dict[str, Any]:
    """Figures for operators: what this process has done, and how far it is behind.

    UnavailableError when the store is away: without it there are no figures.
    """
    missing = await running.missing()
    if "store" in missing:
        raise UnavailableError(f"the store is away: {missing['store']}")
    relay, cache = running.relay, running.store.cache
    positions: dict[str, int] = {}
    for (speaker, _), sequence in (await running.read_positions()).items():
        positions[speaker] = positions.get(speaker, 0) + sequence
    events, cursor = await running.pool.fetchrow(_EVENTS_AND_CURSOR)
    return {
        "service": running.service.name,
        "version": running.version,
        "uptime_seconds": round(running.uptime_seconds, 1),
        "gc_seconds": round(running.gc_seconds, 3),
        "missing": missing,
        "events": events,
        "positions": positions,
        "heads": {"said": await running.pool.fetchval(_HEADS)},
        "lag": await running.lag(),
        "relay": {
            "leads": relay.leads,
            "backlog": max(events - cursor, 0),
            "cursor": cursor,
            "sent": relay.sent,
            "sent_again": relay.sent_again,
        },
        "consumer": _consumer(running),
        "conflicts": running.work.conflicts,
        "cache": {"states": len(cache), "bytes": cache.bytes, "hits": cache.hits, "misses": cache.misses},
        "dead_letters": await count_open(running.pool),
    }


def _consumer(running: "Running") -> dict[str, int]:
    consumer = running.consumer
    return {
        "batches": consumer.batches,
        "records": consumer.records,
        "duplicates": consumer.duplicates,
        "given_up": consumer.given_up,
        "parked": consumer.parked,
        "gaps": len(consumer.gaps),
        "asked_again": running.resending.asked,
    }


async def untaken(consumer: Any) -> dict[TopicPartition, int]:
    """Partition of this consumer → messages it has not taken yet, where Kafka has said how many there are.

    A position may have to be waited for, and meanwhile this or another partition may go to another consumer.
    """
    found = {}
    for partition in consumer.assignment():
        highwater = consumer.highwater(partition) if partition in consumer.assignment() else None
        if highwater is not None:
            with suppress(IllegalStateError):
                found[partition] = max(highwater - await consumer.position(partition), 0)
    return found


async def lag_of(consumer: Any) -> dict[str, int]:
    """Topic → messages in this consumer's partitions that it has not taken yet."""
    lag: dict[str, int] = {}
    for partition, behind in (await untaken(consumer)).items():
        lag[partition.topic] = lag.get(partition.topic, 0) + behind
    return lag
