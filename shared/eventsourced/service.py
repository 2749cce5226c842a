"""What a service is, as data: everything that `app.py` of a service wires and the process frame runs."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.eventsourced.decider import Decider, To
from shared.eventsourced.policy import Hears, Reactions, no_reactions
from shared.eventsourced.projecting import Projection, StateProjection
from shared.eventsourced.publishing import Publishing

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.eventsourced.commands import Commands
    from shared.eventsourced.numbers import NumberSeries
    from shared.telemetry.gauges import Gauge


def nothing_to_end() -> None:
    """For services whose answers all end by themselves."""


async def nothing_to_close() -> None:
    """For services that ask nobody over HTTP."""


async def nothing_due(_: "Commands") -> Sequence[To[Any]]:
    """For services in which everything follows from messages and requests."""
    return ()


@dataclass(frozen=True)
class Service:
    """One stage of the cycle. `migrations`: the folder of its numbered SQL files.

    `series`: which facts get gapless numbers inside the transaction that appends them.
    `routes`: given the command bus, the HTTP routes of the service.
    `gauges`: what its read tables say of the business, for `/metrics`.
    `hears_alone`: its replicas would need the same hot streams, and decide each batch again after each other: one of
    them hears, the others answer requests and stand by.
    `stopping`: called when the process was asked to stop; ends answers that have no end of their own (live updates).
    `close`: called when the last request is answered; closes what answering needed.
    `due`: commands for what the store shows to be left over; asked every second, and again while there are any.
    """

    name: str
    migrations: Path
    routes: "Callable[[Commands], APIRouter]"
    deciders: tuple[Decider[Any, Any, Any], ...] = ()
    hears: Hears = field(default_factory=dict)
    reactions: Reactions = no_reactions
    says: Publishing = field(default_factory=dict)
    projections: tuple[Projection, ...] = ()
    due: "Callable[[Commands], Awaitable[Sequence[To[Any]]]]" = nothing_due
    series: "Mapping[type[Any], NumberSeries]" = field(default_factory=dict)
    gauges: "tuple[Gauge, ...]" = ()
    hears_alone: bool = False
    stopping: Callable[[], None] = nothing_to_end
    close: Callable[[], Coroutine[Any, Any, None]] = nothing_to_close

    def __post_init__(self) -> None:
        # One statement writes all read rows of a batch, and no row may be written by two of its parts.
        states = {p.table.name for p in self.projections if isinstance(p, StateProjection)}
        others = {p.table.name for p in self.projections if not isinstance(p, StateProjection)}
        assert states.isdisjoint(others), f"{self.name}: a table of states is written by other projections, too"
