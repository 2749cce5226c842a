"""Read tables as data: which rows follow from facts, states or messages, and how rows of one key merge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Recorded
from shared.eventsourced.policy import Heard

Merge = Literal["set", "add", "first", "min", "max"]


@dataclass(frozen=True)
class Column:
    """A column beside the key. When a row of the same key is written again:

    set: the new value wins unless it is None; add: values are summed (None adds nothing);
    first: the first value stays; min, max: the smaller or larger stays. A row's None never erases anything.
    """

    name: str
    type: str
    merge: Merge = "set"


@dataclass(frozen=True, eq=False)  # one object per table, compared and hashed as such
class Table:
    """A read table: its key columns come first in every row, then `columns`, in this order.

    It is created by a numbered migration; the names and types here must be the same (checked at start).
    `appended`: no key is ever written twice (it holds the identity of the fact or message), so rows are inserted
    without looking for others of their key, at half the cost, and the table needs no unique index.
    `dated`: the last column says since when the one before it has its value; for states only, see `StateProjection`.
    """

    name: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    appended: bool = False
    dated: bool = False

    @cached_property
    def all_columns(self) -> tuple[Column, ...]:
        """The key's and the others, as they stand in every row."""
        return (*self.key, *self.columns)


Row = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class StateProjection:
    """One row per aggregate, written anew whenever its state changes. `row(key, state)` → values, None: no row yet.

    Aggregates of several kinds may share a table if their rows have different keys.

    `stage`: of a dated table, what of a state is dated. `row` leaves out its two last columns: the stage, and when the
    fact was recorded that led into it. No instant in facts says that: theirs are of the business, and may be years old.
    """

    table: Table
    decider: Decider[Any, Any, Any]
    row: Callable[[str, Any], Row | None]
    stage: Callable[[Any], str] | None = None

    def __post_init__(self) -> None:
        assert self.table.dated == (self.stage is not None), self.table.name


@dataclass(frozen=True, eq=False)
class FactProjection:
    """Rows that follow from single facts: fact class → (recorded) → rows."""

    table: Table
    rows: Mapping[type[Any], Callable[[Recorded], Iterable[Row]]]


@dataclass(frozen=True, eq=False)
class MessageProjection:
    """Rows that follow from messages of other services: message class → (message, heard) → rows.

    For services without facts. Inbound messages are refused: they may come again for ever.
    """

    table: Table
    rows: Mapping[type[Any], Callable[[Any, Heard], Iterable[Row]]]


Projection = StateProjection | FactProjection | MessageProjection
