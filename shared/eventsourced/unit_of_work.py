"""One batch, one transaction: load → decide in memory → append, positions, rows, letters → commit.

The number of statements depends on what kinds of things a batch holds, never on how many.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from shared.errors import ConcurrencyError, ContractError, Problem, UnavailableError
from shared.eventsourced.cache import Cached
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Recorded
from shared.eventsourced.fresh import Appended
from shared.eventsourced.letters import BLOCKED, BLOCKED_AMONG, BLOCKED_MAX, Letter, insert_letters, reason_of
from shared.eventsourced.mapper import encode_fact
from shared.eventsourced.projecting import FactProjection, Row, StateProjection, Table
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.rows import Prepared, Rows, merge_rows, prepared, state_rows, write_rows
from shared.eventsourced.service import Service
from shared.eventsourced.store import Store, append, due_snapshot, save_snapshots
from shared.eventsourced.work import Decided, Numbering, Pass, Work
from shared.telemetry.engine import Lap, WorkFigures

OPTIMISTIC_ATTEMPTS = 2
"""After so many lost races a batch is decided under the store's lock: on a hot stream everybody gets a turn."""

ATTEMPTS_MAX = 20
"""How often a batch is decided again because another writer was first, before that is called a fault."""

FACT_BYTES_MAX = 700_000
"""A fact that is larger could not be said: with its headers it fits no batch (see `shared.kafka`), and the relay would
stop at it for ever."""

Position = tuple[str, int]
"""(speaker, lane)"""


@dataclass(slots=True)
class Batch:
    """What shall become durable together. `positions`: (speaker, lane) → (sequence heard before, sequence after).

    `finish` runs last in the transaction.
    """

    works: Sequence[Work] = ()
    positions: Mapping[Position, tuple[int, int]] = field(default_factory=dict)
    finish: Callable[[Any], Awaitable[None]] | None = None


class PositionsMoved(ConcurrencyError):
    """Another consumer has heard these messages; read the positions again."""


class UnitOfWork:
    """Runs batches for one service. Safe to use from several tasks and several processes at once."""

    def __init__(
        self,
        service: Service,
        pool: Any,
        store: Store,
        *,
        on_commit: Callable[[Appended], None],
        on_worked: Callable[[Sequence[Work], float], None] | None = None,
    ) -> None:
        """`on_worked`: told of every batch that is done, with its seconds; must not raise."""
        self._service = service
        self._pool = pool
        self._store = store
        self._on_commit = on_commit
        self._on_worked = on_worked
        self._blocked: frozenset[str] = frozenset()
        self._numbers: Mapping[str, int] = {}
        self._key_fields = {fact: says.contract.key for fact, says in service.says.items()}
        self._state_projections = [p for p in service.projections if isinstance(p, StateProjection)]
        self._fact_projections = [p for p in service.projections if isinstance(p, FactProjection)]
        self.conflicts = 0
        self.figures = WorkFigures()
        self.refusal = ""

    async def run(self, batch: Batch) -> None:
        """Decide and commit; every work then knows its facts or its error. Raises when nothing was committed.

        PositionsMoved: the positions are not what the batch says. ConcurrencyError: others were first too often.
        Any asyncpg error: the store is away, or a row cannot be written. UnavailableError: see `refusal`, which says
        why nothing may be written at all.
        """
        if self.refusal:
            raise UnavailableError(self.refusal)
        watch = Lap()
        for attempt in range(ATTEMPTS_MAX):
            try:
                appended = await self._attempt(batch, alone=attempt >= OPTIMISTIC_ATTEMPTS)
            except PositionsMoved:
                raise
            except ConcurrencyError:
                self.conflicts += 1
            else:
                if appended is not None:
                    self._on_commit(appended)
                    self.figures.facts += appended.upto - appended.after
                seconds = watch.total()
                self.figures.whole.add(seconds)
                self.figures.works.add(len(batch.works))
                if self._on_worked is not None:
                    self._on_worked(batch.works, seconds)
                return
        raise ConcurrencyError(f"gave up after {ATTEMPTS_MAX} attempts: other writers were always first")

    async def _attempt(self, batch: Batch, *, alone: bool) -> Appended | None:
        """`alone`: decide under the store's lock, where nobody can be first."""
        async with self._pool.acquire() as connection:
            if alone:
                async with connection.transaction():
                    numbering = await self._lock(connection)
                    decided, loaded = await self._decide(connection, batch, numbering)
                    appended, entries = await self._write(connection, batch, decided, loaded, numbering)
            else:
                numbering = self._numbering(self._numbers)
                decided, loaded = await self._decide(connection, batch, numbering)
                if not (decided.facts or batch.positions or batch.finish or _letters(batch.works)):
                    return None
                async with connection.transaction():
                    if numbering is not None and numbering.used:
                        known, numbering = numbering, await self._lock(connection)
                        if numbering is None or numbering.first != known.first:
                            decided = self._decide_again(batch, numbering, loaded)
                        else:
                            numbering = known
                    appended, entries = await self._write(connection, batch, decided, loaded, numbering)
            self._remember(entries, loaded)
            if numbering is not None and numbering.used:
                self._numbers = numbering.last
            return appended

    def _numbering(self, last: Mapping[str, int]) -> Numbering | None:
        return Numbering(self._service.series, last) if self._service.series else None

    async def _lock(self, connection: Any) -> Numbering | None:
        """From now on nobody else writes to the store until the transaction ends; the last numbers as they are then."""
        await connection.execute("SELECT lock_store()")
        if not self._service.series:
            return None
        return self._numbering(dict(await connection.fetch("SELECT series, last FROM number_series")))

    async def _decide(
        self, connection: Any, batch: Batch, numbering: Numbering | None
    ) -> tuple[Decided, dict[str, Cached]]:
        watch = Lap()
        wanted = {to.stream: to.decider for work in batch.works for to in work.commands}
        loaded = await self._store.load(connection, wanted) if wanted else {}
        at_once = set(loaded)
        self.figures.load.add(watch.lap())
        now_us = time.time_ns() // 1000
        while True:
            guessed: dict[str, Cached] = {}

            def known(stream: str, guessed: dict[str, Cached] = guessed) -> tuple[Any, int] | None:
                entry = loaded.get(stream)
                if entry is None:
                    entry = self._store.cache.get(stream)
                    if entry is None:
                        return None
                    guessed[stream] = entry
                return entry.state, entry.version

            if numbering is not None:
                numbering.restart()
            decided = Pass(known, self._service.reactions, numbering, now_us).decide(batch.works, self._blocked)
            # Reactions led to streams that nobody named before: prove the cached ones, read the others.
            unproven = {stream: decided.read[stream] for stream in decided.read if stream not in loaded}
            if not unproven:
                if _settled(batch.works, decided, at_once):
                    break
                self._remember({}, loaded)
                unproven = decided.read  # all of them, as they are at one instant
            found = await self._store.load(connection, unproven)
            believed = {**loaded, **guessed}
            loaded.update(found)
            at_once = set(found)
            same = not decided.missing and all(found[s].version == believed[s].version for s in found)
            if same and _settled(batch.works, decided, at_once):
                break
        self.figures.decide.add(watch.lap())
        return decided, loaded

    def _decide_again(self, batch: Batch, numbering: Numbering | None, loaded: Mapping[str, Cached]) -> Decided:
        """Others took numbers meanwhile: decide from the same states, in memory, behind their last one."""

        def known(stream: str) -> tuple[Any, int] | None:
            entry = loaded.get(stream)
            return None if entry is None else (entry.state, entry.version)

        watch = Lap()
        now_us = time.time_ns() // 1000  # a document behind another is not dated before it
        decided = Pass(known, self._service.reactions, numbering, now_us).decide(batch.works, self._blocked)
        if decided.missing:
            raise ConcurrencyError("with other numbers, other streams are asked for")
        self.figures.decide.add(watch.lap())
        return decided

    async def _write(
        self,
        connection: Any,
        batch: Batch,
        decided: Decided,
        loaded: Mapping[str, Cached],
        numbering: Numbering | None,
    ) -> tuple[Appended | None, dict[str, Cached]]:
        watch = Lap()
        encoded = [encode_fact(recorded.fact, recorded.meta) for recorded in decided.facts]
        _check_sizes(encoded)
        entries, letters = self._entries(decided, encoded, loaded), _letters(batch.works)
        rows = prepared(self._rows(batch, decided))  # work of ours comes before the statement that locks the store
        appended = None
        if encoded:
            appended = await append(connection, decided.facts, encoded, [self._lane(r.fact) for r in decided.facts])
        else:
            await connection.execute("SELECT lock_store()")
        if batch.positions:
            await self._check_blocked(connection, batch.works, await _advance(connection, batch.positions, rows))
        else:
            if letters:
                await self._check_blocked(connection, batch.works, [row[0] for row in await connection.fetch(BLOCKED)])
            await write_rows(connection, rows)
        if numbering is not None and numbering.used:  # else they may be old, and would be set back
            await _save_numbers(connection, numbering.last)
        await self._snapshot(connection, decided, entries)
        if letters:
            await insert_letters(connection, letters)
        if batch.finish is not None:
            await batch.finish(connection)
        self.figures.write.add(watch.lap())
        return appended, entries

    def _lane(self, fact: Any) -> int | None:
        key_field = self._key_fields.get(type(fact))
        return None if key_field is None else lane_of(getattr(fact, key_field))

    @staticmethod
    def _entries(
        decided: Decided, encoded: Sequence[tuple[str, bytes]], loaded: Mapping[str, Cached]
    ) -> dict[str, Cached]:
        sizes: dict[str, int] = {}
        for recorded, (_, state) in zip(decided.facts, encoded, strict=True):
            sizes[recorded.originator_id] = sizes.get(recorded.originator_id, 0) + len(state)
        return {
            stream: loaded[stream].grown(decider, state, version, sizes[stream])
            for stream, (state, version, decider) in decided.states.items()
        }

    async def _check_blocked(self, connection: Any, works: Sequence[Work], blocked: Sequence[str]) -> None:
        if len(blocked) == BLOCKED_MAX:
            streams = [work.stream for work in works if work.stream]
            blocked = [row[0] for row in await connection.fetch(BLOCKED_AMONG, streams)]
        before, self._blocked = self._blocked, frozenset(blocked)
        if before != self._blocked and not {work.stream for work in works}.isdisjoint(before ^ self._blocked):
            raise ConcurrencyError("the set of waiting streams has changed")

    def _rows(self, batch: Batch, decided: Decided) -> list[Rows]:
        """The read rows that follow from a batch, each table once."""
        states: dict[Table, list[Row]] = {}
        at_us = decided.facts[-1].meta.at if decided.facts else 0  # the facts of a batch are recorded at one instant
        for state_projection in self._state_projections:
            changed = (
                (stream, state, at_us)
                for stream, (state, _, decider) in decided.states.items()
                if decider.name == state_projection.decider.name
            )
            states.setdefault(state_projection.table, []).extend(state_rows(state_projection, changed))
        by_table = fact_rows(self._fact_projections, decided.facts)
        for work in batch.works:
            if work.error is None and not work.waits:
                for table, row in work.rows:
                    by_table.setdefault(table, []).append(row)
        return [
            *(Rows(table, rows, replace=True) for table, rows in states.items()),
            *(Rows(table, merge_rows(table, rows), replace=False) for table, rows in by_table.items()),
        ]

    async def _snapshot(self, connection: Any, decided: Decided, entries: dict[str, Cached]) -> None:
        snapshots: list[tuple[str, int, Decider[Any, Any, Any], bytes]] = []
        for stream, (state, version, decider) in decided.states.items():
            data = due_snapshot(decider, entries[stream])
            if data is not None:
                snapshots.append((stream, version, decider, data))
                entries[stream] = Cached(state, version, 0, len(data))
        if snapshots:
            await save_snapshots(connection, snapshots)

    def _remember(self, entries: Mapping[str, Cached], loaded: Mapping[str, Cached]) -> None:
        for stream, entry in loaded.items():
            if entry.version and stream not in entries:
                self._store.cache.put(stream, entry)
        for stream, entry in entries.items():
            self._store.cache.put(stream, entry)


def _settled(works: Iterable[Work], decided: Decided, at_once: Set[str]) -> bool:
    """Whether what was decided follows from states that were true together. `at_once`: read by one statement.

    What is written is proven by its versions when it is written. A failure writes nothing, and may come from streams
    that were read one after the other while another writer changed them both.
    """
    return decided.read.keys() <= at_once or all(work.error is None for work in works)


def fact_rows(projections: Sequence[FactProjection], facts: Iterable[Recorded]) -> dict[Table, list[Row]]:
    """The rows that follow from facts, by table."""
    found: dict[Table, list[Row]] = {}
    for recorded in facts:
        for projection in projections:
            rows = projection.rows.get(type(recorded.fact))
            if rows is not None:
                found.setdefault(projection.table, []).extend(rows(recorded))
    return found


def _letters(works: Iterable[Work]) -> list[tuple[Letter, str, str, str]]:
    """The letters of works that failed or must wait: (letter, status, code, reason)."""
    letters: list[tuple[Letter, str, str, str]] = []
    for work in works:
        if work.letter is None:
            continue
        if work.waits:
            letters.append((work.letter(), "waiting", "waits", "an earlier message of the same stream is parked"))
        elif work.error is not None:
            letters.append((work.letter(), "parked", *reason_of(work.error)))
    return letters


def _check_sizes(encoded: Sequence[tuple[str, bytes]]) -> None:
    for topic, state in encoded:
        if len(state) > FACT_BYTES_MAX:
            raise ContractError([Problem("", "too_large", f"{topic} would have {len(state)} bytes")])


_ADVANCE = """
WITH {inserts}advanced AS (
    UPDATE positions p SET sequence = u.after
    FROM unnest(${0}::text[], ${1}::smallint[], ${2}::bigint[], ${3}::bigint[]) AS u (speaker, lane, before, after)
    WHERE p.speaker = u.speaker AND p.lane = u.lane AND p.sequence = u.before
    RETURNING 1
)
SELECT (SELECT count(*) FROM advanced), ARRAY({blocked})
"""


async def _advance(connection: Any, positions: Mapping[Position, tuple[int, int]], rows: Prepared) -> list[str]:
    """Write the rows and move the positions; the streams in which works must wait, as they are under the lock.

    At most BLOCKED_MAX of them. PositionsMoved: the transaction must not be committed.
    """
    first = len(rows.arrays) + 1
    moved, blocked = await connection.fetchrow(
        _ADVANCE.format(*range(first, first + 4), inserts=rows.inserts, blocked=BLOCKED),
        *rows.arrays,
        [speaker for speaker, _ in positions],
        [lane for _, lane in positions],
        [before for before, _ in positions.values()],
        [after for _, after in positions.values()],
    )
    if moved != len(positions):
        raise PositionsMoved("another consumer has advanced these positions")
    streams: list[str] = blocked
    return streams


async def _save_numbers(connection: Any, last: Mapping[str, int]) -> None:
    if last:
        await connection.execute(
            "INSERT INTO number_series AS s SELECT * FROM unnest($1::text[], $2::bigint[]) "
            "ON CONFLICT (series) DO UPDATE SET last = excluded.last WHERE s.last <> excluded.last",
            list(last),
            list(last.values()),
        )
