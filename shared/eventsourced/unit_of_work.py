"""One batch, one transaction: load → decide in memory → write, with everything it was decided on proven.

Most batches ask the store twice: for what they load, and to write. Never does it depend on how much a batch holds.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.errors import ConcurrencyError, ContractError, Problem, UnavailableError
from shared.eventsourced.cache import Cached
from shared.eventsourced.deciding import Deciding
from shared.eventsourced.facts import Recorded
from shared.eventsourced.fresh import Appended
from shared.eventsourced.letters import BLOCKED, Letter, insert_letters, reason_of
from shared.eventsourced.mapper import encode_fact
from shared.eventsourced.projecting import FactProjection, Row, StateProjection, Table
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.rows import Rows, merge_rows, prepared, state_rows
from shared.eventsourced.service import Service
from shared.eventsourced.store import SNAPSHOTS, Store, due_snapshot, snapshot_row
from shared.eventsourced.work import Decided, Numbering, Work
from shared.eventsourced.writing import Draft, NumbersTaken, Position, PositionsMoved, WaitingChanged, write_batch
from shared.telemetry.engine import Lap, WorkFigures

OPTIMISTIC_ATTEMPTS = 2
"""After so many lost races a batch is decided under the store's lock: on a hot stream everybody gets a turn."""

NUMBERED_MAX = 5
"""How often a batch takes numbers behind those that another writer has taken meanwhile: one question each time."""

ATTEMPTS_MAX = 20
"""How often a batch is decided again because another writer was first, before that is called a fault."""

FACT_BYTES_MAX = 700_000
"""A fact that is larger could not be said: with its headers it fits no batch (see `shared.kafka`), and the relay would
stop at it for ever."""

BLOCKED_KEPT_MAX = 10_000
"""So many streams with open letters are remembered; of more, only those of the batch in hand."""


@dataclass(slots=True)
class Batch:
    """What shall become durable together. `positions`: (speaker, lane) → (sequence heard before, sequence after).

    `finish` runs last in the transaction.
    """

    works: Sequence[Work] = ()
    positions: Mapping[Position, tuple[int, int]] = field(default_factory=dict)
    finish: Callable[[Any], Awaitable[None]] | None = None


class _Outcome(NamedTuple):
    """What a batch led to: what is written, and what is remembered when it is.

    `loaded`: the streams as they were; `entries`: those that changed, as they are then; `numbers`: the last ones then.
    """

    draft: Draft
    letters: Sequence[tuple[Letter, str, str, str]]
    loaded: Mapping[str, Cached]
    entries: Mapping[str, Cached]
    numbers: Mapping[str, int]


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
        self._blocked: Set[str] = frozenset()
        self._numbers: Mapping[str, int] = {}
        self._key_fields = {fact: says.contract.key for fact, says in service.says.items()}
        self._state_projections = [p for p in service.projections if isinstance(p, StateProjection)]
        self._fact_projections = [p for p in service.projections if isinstance(p, FactProjection)]
        self.conflicts = 0
        self.figures = WorkFigures()
        self._deciding = Deciding(service, store, self.figures)
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
            except ConcurrencyError as error:
                self.conflicts += 1
                if isinstance(error, WaitingChanged):
                    await self._look_who_waits(self._pool, batch)
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
                    await self._look_who_waits(connection, batch)
                    written = await self._decide_and_write(connection, batch, numbering)
            else:
                written = await self._decide_and_write(connection, batch, self._numbering(self._numbers))
        if written is None:
            return None
        appended, outcome = written  # committed: only now it may be remembered
        self._remember(outcome)
        return appended

    async def _decide_and_write(
        self, connection: Any, batch: Batch, numbering: Numbering | None
    ) -> tuple[Appended | None, _Outcome] | None:
        """None: there was nothing to write."""
        streams = _streams(batch)
        blocked = self._blocked & streams
        decided, loaded = await self._deciding.decide(connection, batch.works, numbering, blocked)
        if not (decided.facts or batch.positions or batch.finish or _letters(batch.works)):
            return None
        waiting = {stream: stream in blocked for stream in streams}
        for _ in range(NUMBERED_MAX):
            outcome = self._outcome(batch, decided, loaded, numbering, waiting)
            try:
                return await self._write(connection, batch, outcome), outcome
            except NumbersTaken as taken:
                numbering = self._numbering(taken.last)
                decided = self._deciding.again(batch.works, numbering, blocked, loaded)
        raise ConcurrencyError("others took numbers each time")

    def _numbering(self, last: Mapping[str, int]) -> Numbering | None:
        return Numbering(self._service.series, last) if self._service.series else None

    async def _lock(self, connection: Any) -> Numbering | None:
        """From now on nobody else writes to the store until the transaction ends; the last numbers as they are then."""
        await connection.execute("SELECT lock_store()")
        if not self._service.series:
            return None
        return self._numbering(dict(await connection.fetch("SELECT series, last FROM number_series")))

    def _outcome(
        self,
        batch: Batch,
        decided: Decided,
        loaded: Mapping[str, Cached],
        numbering: Numbering | None,
        waiting: Mapping[str, bool],
    ) -> _Outcome:
        encoded = [encode_fact(recorded.fact, recorded.meta) for recorded in decided.facts]
        _check_sizes(encoded)
        entries = self._entries(decided, encoded, loaded)
        snapshots = _due_snapshots(decided, entries)
        taken = numbering.taken if numbering is not None else {}
        draft = Draft(
            decided.facts,
            encoded,
            [self._lane(recorded.fact) for recorded in decided.facts],
            batch.positions,
            taken,
            waiting,
            prepared([*self._rows(batch, decided), snapshots]),
        )
        numbers = numbering.last if numbering is not None and taken else self._numbers
        return _Outcome(draft, _letters(batch.works), loaded, entries, numbers)

    async def _write(self, connection: Any, batch: Batch, outcome: _Outcome) -> Appended | None:
        watch = Lap()
        if outcome.letters or batch.finish is not None:
            async with connection.transaction():
                appended = await write_batch(connection, outcome.draft)
                if outcome.letters:
                    await insert_letters(connection, outcome.letters)
                if batch.finish is not None:
                    await batch.finish(connection)
        else:
            appended = await write_batch(connection, outcome.draft)
        if outcome.letters:
            parked = {letter.stream for letter, *_ in outcome.letters if letter.stream}
            self._keep_blocked(self._blocked | parked, batch)
        self.figures.write.add(watch.lap())
        return appended

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

    async def _look_who_waits(self, connection: Any, batch: Batch) -> None:
        """Read which streams of the batch have open letters."""
        streams = _streams(batch)
        if streams:
            found = {row[0] for row in await connection.fetch(BLOCKED, list(streams))}
            self._keep_blocked((self._blocked - streams) | found, batch)

    def _keep_blocked(self, blocked: Set[str], batch: Batch) -> None:
        self._blocked = blocked if len(blocked) <= BLOCKED_KEPT_MAX else blocked & _streams(batch)

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

    def _remember(self, outcome: _Outcome) -> None:
        self._store.keep(outcome.loaded, but=outcome.entries)
        self._store.keep(outcome.entries)
        self._numbers = outcome.numbers


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


def _streams(batch: Batch) -> Set[str]:
    """The streams whose works wait behind an open letter."""
    return {work.stream for work in batch.works if work.stream}


def _due_snapshots(decided: Decided, entries: dict[str, Cached]) -> Rows:
    """The snapshots that are worth their rows; their entries count from there on."""
    rows: list[Row] = []
    for stream, (state, version, decider) in decided.states.items():
        data = due_snapshot(decider, entries[stream])
        if data is not None:
            rows.append(snapshot_row(stream, version, decider, data))
            entries[stream] = Cached(state, version, 0, len(data))
    return Rows(SNAPSHOTS, rows, replace=True)
