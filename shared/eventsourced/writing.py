"""A batch on its way into the store: its facts, its read rows and the proof of all it was decided on, in one statement.

A question and its answer cost more than what a small batch asks for, and nobody else can write to the store meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec

from shared.errors import ConcurrencyError
from shared.eventsourced.arrays import array
from shared.eventsourced.facts import Recorded
from shared.eventsourced.fresh import Appended, Placed
from shared.eventsourced.rows import NO_ROWS, Prepared

Position = tuple[str, int]
"""(speaker, lane)"""


class PositionsMoved(ConcurrencyError):
    """Another consumer has heard these messages; read the positions again."""


class WaitingChanged(ConcurrencyError):
    """Other streams have open letters than the batch was decided with; read them again."""


class NumbersTaken(ConcurrencyError):
    """Another writer has taken the numbers that were handed out. `last`: series → its last number."""

    def __init__(self, message: str, last: Mapping[str, int]) -> None:
        super().__init__(message)
        self.last = last


_TYPES = (
    *("text", "bigint", "text", None, "integer", "bigint"),
    *("smallint", "bigint"),
    *("text", "smallint", "bigint", "bigint"),
    *("text", "bigint", "bigint"),
    *("text", "text"),
)
"""Of the function's parameters, all arrays; None: given as it is."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is written together, and what must still be true when it is.

    `encoded`: (stored name, bytes) of each fact; `lanes`: of each fact, None for private ones; `positions`: (speaker,
    lane) → (sequence heard before, sequence after); `numbers`: series → (last number before, last number after);
    `waiting`: stream of the batch → whether works of it must wait.
    """

    facts: Sequence[Recorded] = ()
    encoded: Sequence[tuple[str, bytes]] = ()
    lanes: Sequence[int | None] = ()
    positions: Mapping[Position, tuple[int, int]] = field(default_factory=dict)
    numbers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    waiting: Mapping[str, bool] = field(default_factory=dict)
    rows: Prepared = NO_ROWS


async def write_batch(connection: Any, draft: Draft) -> Appended | None:
    """Write it under the store's lock; what was appended, None for no facts. Commits, unless in a transaction.

    PositionsMoved, WaitingChanged, NumbersTaken and ConcurrencyError (a fact of such a version is there): nothing was
    written, another writer was first. Any other asyncpg error: as of a single INSERT.
    """
    places, counted, counts = _places(draft.lanes)
    spoken = list(counts)
    streams = sorted(draft.waiting)
    columns: tuple[Iterable[Any], ...] = (
        [fact.originator_id for fact in draft.facts],
        [fact.originator_version for fact in draft.facts],
        [topic for topic, _ in draft.encoded],
        [state for _, state in draft.encoded],
        places,
        counted,
        spoken,
        counts.values(),
        [speaker for speaker, _ in draft.positions],
        [lane for _, lane in draft.positions],
        [before for before, _ in draft.positions.values()],
        [after for _, after in draft.positions.values()],
        draft.numbers,
        [first for first, _ in draft.numbers.values()],
        [last for _, last in draft.numbers.values()],
        streams,
        [stream for stream in streams if draft.waiting[stream]],
    )
    parameters = [values if kind is None else array(values, kind) for values, kind in zip(columns, _TYPES, strict=True)]
    try:
        rows = await connection.fetch(
            _statement(draft.rows.inserts, len(draft.rows.arrays) + 1), *draft.rows.arrays, *parameters
        )
    except asyncpg.PostgresError as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from error
    after, heads = rows[0]
    if after is None:
        return None
    public = [
        Placed(fact, spoken[place - 1], heads[place - 1] + number)
        for fact, place, number in zip(draft.facts, places, counted, strict=True)
        if place is not None and number is not None
    ]
    return Appended(after, after + len(draft.facts), public, sum(len(state) for _, state in draft.encoded))


def _places(lanes: Iterable[int | None]) -> tuple[list[int | None], list[int | None], dict[int, int]]:
    """Of each fact the place of its lane among those spoken in, from 1, and its number there; lane → how many."""
    places: list[int | None] = []
    counted: list[int | None] = []
    counts: dict[int, int] = {}
    place_of: dict[int, int] = {}
    for lane in lanes:
        if lane is None:
            places.append(None)
            counted.append(None)
            continue
        count = counts[lane] = counts.get(lane, 0) + 1
        places.append(place_of.setdefault(lane, len(counts)))
        counted.append(count)
    return places, counted, counts


@lru_cache(1_000)  # an entry for each set of tables that is written together, as in `shared.eventsourced.rows`
def _statement(inserts: str, first: int) -> str:
    """`inserts`: of the read rows; `first`: the number of the first parameter behind theirs."""
    parameters = ", ".join(
        f"${number}" if kind is None else f"${number}::text::{kind}[]" for number, kind in enumerate(_TYPES, first)
    )
    return f"WITH written AS MATERIALIZED (SELECT * FROM write_batch({parameters})){inserts} SELECT * FROM written"


def _refusal(error: asyncpg.PostgresError) -> ConcurrencyError | None:
    """Which proof failed; None for an error of another kind."""
    match error.sqlstate:
        case "O2C01":
            return PositionsMoved(str(error))
        case "O2C02":
            return WaitingChanged(str(error))
        case "O2C03":
            return NumbersTaken(str(error), msgspec.json.decode(error.detail or "{}"))
        case asyncpg.UniqueViolationError.sqlstate if error.table_name == "events":
            return ConcurrencyError(f"another writer was first: {error.detail}")
    return None
