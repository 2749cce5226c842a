"""The event store on asyncpg: load many streams with one query, from the cache, snapshots and the facts behind them."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from shared.eventsourced.arrays import array
from shared.eventsourced.cache import Cached, StateCache
from shared.eventsourced.decider import Decider
from shared.eventsourced.mapper import decode_fact, decode_state, encode_state
from shared.eventsourced.projecting import Column, Row, Table

_FACTS_BEHIND = """
SELECT e.originator_id, e.originator_version, e.topic, e.state
FROM unnest($1::text::text[], $2::text::bigint[]) AS s (id, version)
JOIN events e ON e.originator_id = s.id AND e.originator_version > s.version
ORDER BY e.originator_id, e.originator_version
"""
_SNAPSHOTS_OF = "SELECT originator_id, originator_version, topic, state FROM snapshots WHERE originator_id = ANY($1)"

SNAPSHOTS = Table(
    "snapshots",
    (Column("originator_id", "text"),),
    (Column("originator_version", "bigint"), Column("topic", "text"), Column("state", "bytea")),
)
"""Written as read tables are, with the facts that they hold last: who proves that these are the next is the newest."""

SNAPSHOT_BYTES_MIN = 32_768
"""A snapshot is worth its row after this many bytes of facts (about 150), or after twice the size of the last one:
so loading costs no more than a few times the state's own size, and writing snapshots a fraction of writing facts."""


COMMAND_SECONDS_MAX = 20
"""A statement that takes longer is given up on both sides; one that is not even given up in as long again (a frozen
server, a line that swallows everything) loses its connection. Both together and the consumer's patience are less
than its poll interval."""

LIMITS = {
    "application_name": "o2c",
    "statement_timeout": f"{COMMAND_SECONDS_MAX}s",
    "lock_timeout": "10s",  # as long as a request waits for its answer
    # The store's lock is held within transactions: whoever stops in the middle of one keeps all others waiting.
    "idle_in_transaction_session_timeout": "10s",
    # A client that is gone without a word is noticed within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}
"""How long PostgreSQL lets a connection of ours keep others waiting; a fault that follows from it passes."""

UNHURRIED = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
"""Lifts these limits for one transaction: a migration or a rebuild takes as long as it takes."""


async def _leave_as_it_is(_: Any) -> None:
    """Done to a connection that goes back to the pool."""


_STARTED_AT = "SELECT pg_postmaster_start_time()"


async def connect_pool(dsn: str, *, size_max: int = 8, replaced: Callable[[], None] = lambda: None) -> Any:
    """A pool whose connections plan for us: array joins are always index lookups, and no statement waits for ever.

    `replaced`: called before a connection is used that leads to another server than the one before it, or to one that
    was started anew since: it may lack the last commits.
    """
    started_at = None

    async def begin(connection: Any) -> None:
        nonlocal started_at
        before, started_at = started_at, await connection.fetchval(_STARTED_AT)
        if started_at != before:
            replaced()

    return await asyncpg.create_pool(
        dsn,
        init=begin,
        max_queries=50_000,
        max_inactive_connection_lifetime=300,
        min_size=0,  # connects when first used, so that a process can say that its database is away
        max_size=size_max,
        command_timeout=COMMAND_SECONDS_MAX,
        timeout=5,
        # asyncpg would forget each statement after five minutes, by a timer that keeps alive what belonged to the task
        # which first asked it: a batch with all its records. There are few statements, and always the same.
        max_cached_statement_lifetime=0,
        statement_cache_size=200,
        max_cacheable_statement_size=65_536,  # the one that writes all read tables of analytics has 12,000 characters
        # What we set, we set for a transaction, and an open one is rolled back in any case: asyncpg's own reset would
        # be one more question and answer for each batch.
        reset=_leave_as_it_is,
        server_settings={
            **LIMITS,
            "jit": "off",
            # Joining an array of stream names with the events table must never become a scan of the table.
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
        },
    )


class Store:
    """Loads folded states of one service's streams, through a cache that is checked at every load."""

    def __init__(self, cache: StateCache) -> None:
        self.cache = cache

    async def load(self, connection: Any, wanted: Mapping[str, Decider[Any, Any, Any]]) -> dict[str, Cached]:
        """The current state of every wanted stream (stream → decider); a stream without facts has version 0."""
        found: dict[str, Cached] = {}
        unknown: list[str] = []
        for stream, decider in wanted.items():
            cached = self.cache.get(stream)
            if cached is None:
                cached = Cached(decider.initial, 0, 0, 0)
                if decider.snapshots:
                    unknown.append(stream)
            found[stream] = cached
        if unknown:
            await self._start_from_snapshots(connection, wanted, unknown, found)
        versions = array((entry.version for entry in found.values()), "bigint")
        behind = await connection.fetch(_FACTS_BEHIND, array(found, "text"), versions)
        self._bring_forward(wanted, behind, found)
        return found

    def keep(self, entries: Mapping[str, Cached], but: Container[str] = ()) -> None:
        """Remember committed states, so that loading them again is cheap; of those without facts there is nothing."""
        for stream, entry in entries.items():
            if entry.version and stream not in but:
                self.cache.put(stream, entry)

    async def _start_from_snapshots(
        self,
        connection: Any,
        wanted: Mapping[str, Decider[Any, Any, Any]],
        streams: Sequence[str],
        found: dict[str, Cached],
    ) -> None:
        for stream, version, topic, data in await connection.fetch(_SNAPSHOTS_OF, streams):
            decider = wanted[stream]
            if topic != _snapshot_topic(decider):
                continue  # of an older shape: the facts are still there
            try:
                state = decode_state(type(decider.initial), data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a cache that cannot be read
            found[stream] = Cached(state, version, 0, len(data))

    def _bring_forward(
        self, wanted: Mapping[str, Decider[Any, Any, Any]], rows: Iterable[Any], found: dict[str, Cached]
    ) -> None:
        for stream, version, topic, data in rows:
            entry, decider = found[stream], wanted[stream]
            assert version == entry.version + 1, f"{stream}: version {version} follows {entry.version}"
            state = decider.evolve(entry.state, decode_fact(stream, version, topic, data).fact)
            found[stream] = entry.grown(decider, state, version, len(data))


def due_snapshot(decider: Decider[Any, Any, Any], entry: Cached) -> bytes | None:
    """The snapshot of a state, if its stream has grown enough since the last one."""
    if not decider.snapshots or entry.size_since < max(SNAPSHOT_BYTES_MIN, 2 * entry.size):
        return None
    return encode_state(entry.state)


def snapshot_row(stream: str, version: int, decider: Decider[Any, Any, Any], data: bytes) -> Row:
    """A row of SNAPSHOTS."""
    return stream, version, _snapshot_topic(decider), f"\\x{data.hex()}"


def _snapshot_topic(decider: Decider[Any, Any, Any]) -> str:
    return f"{decider.name}#{decider.state_version}"
