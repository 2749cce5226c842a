"""The engine in a page, without store, cache, lock or clock: what a world looks like after each thing that happens.

A step leads from a world to the worlds that may follow. What was seen is right when the steps of everybody involved,
mixed in some order (and for the crashed ones cut off somewhere), lead to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.errors import ConflictError
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.projecting import Row
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.restoring import Lost, Said
from shared.values import evolved
from tests.engine.stateful.service import DECIDERS, UNWRITABLE
from tests.engine.toy import CoinsAdded, ReceiptWritten, react

OPEN = ("parked", "waiting")

Stored = tuple[str, Any]
"""(stream, fact)"""


@dataclass(frozen=True)
class Spoken:
    """A message to be heard. `sequence` 0: from outside, without a position. `follows`: its speaker's stream, or "".

    `notes`: the rows that follow from it alone.
    """

    id: str
    lane: int
    sequence: int
    follows: str
    commands: tuple[To[Any], ...]
    notes: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Kept:
    """A dead letter."""

    message: Spoken
    status: str


@dataclass(frozen=True)
class World:
    """Facts in commit order, how far each lane was heard, the letters in their order, and every note that was taken."""

    numbered: bool
    facts: tuple[Stored, ...] = ()
    positions: dict[int, int] = field(default_factory=dict)
    letters: tuple[Kept, ...] = ()
    noted: tuple[Row, ...] = ()

    def of(self, stream: str) -> list[Any]:
        """The facts of one stream."""
        return [fact for name, fact in self.facts if name == stream]

    def state(self, stream: str) -> Any:
        """The state of one stream."""
        return DECIDERS[stream.partition("-")[0]].fold(self.of(stream))

    def taken(self) -> int:
        """How many numbers were given out."""
        return sum(bool(getattr(fact, "number", "")) for _, fact in self.facts)

    def head(self, lane: int) -> int:
        """How much was said in a lane."""
        return sum(lane_said(fact) == lane for _, fact in self.facts)

    def open(self) -> list[Kept]:
        """Letters that are neither done nor dropped."""
        return [kept for kept in self.letters if kept.status in OPEN]

    def notes(self) -> dict[str, tuple[int, int]]:
        """What the notes of each customer add up to."""
        sums: dict[str, tuple[int, int]] = {}
        for customer, messages, amount in self.noted:
            before = sums.get(customer, (0, 0))
            sums[customer] = before[0] + messages, before[1] + amount
        return sums


Step = Callable[[World], Sequence[World]]


def lane_said(fact: Any) -> int | None:
    """The lane in which a fact is said; None for private ones."""
    if isinstance(fact, Lost):
        return fact.lane
    return lane_of(fact.customer_id) if isinstance(fact, CoinsAdded | ReceiptWritten) else None


def number(count: int) -> str:
    """The number of a receipt."""
    return f"R-2026-{count:06d}"


def decided(world: World, commands: Sequence[To[Any]]) -> World:
    """The world after these commands and what they led to. Raises what a decider raises."""
    while commands:
        reacting: list[To[Any]] = []
        for to in commands:
            own = world.of(to.stream)
            if to.expected_version not in (None, len(own)):
                raise ConflictError("an older version was seen")
            for fact in to.decider.decide(to.decider.fold(own), to.command):
                if isinstance(fact, CoinsAdded) and fact.amount_minor >= UNWRITABLE:
                    raise OverflowError("no read table holds this")
                if world.numbered and isinstance(fact, ReceiptWritten):
                    fact = evolved(fact, number=number(world.taken() + 1))
                world = replace(world, facts=(*world.facts, (to.stream, fact)))
                reacting += react([Recorded(to.stream, len(own) + 1, fact, Meta(0))])
        commands = reacting
    return world


def worked(world: World, message: Spoken) -> World:
    """The world after a message that is worked: its notes are taken only if nothing that it asks for fails."""
    world = decided(world, message.commands)
    return replace(world, noted=(*world.noted, *message.notes))


def commanded(to: To[Any], answer: Any) -> Step:
    """A command over HTTP. `answer`: its Outcome, the error it was refused with, or None when nobody knows."""

    def step(world: World) -> Sequence[World]:
        try:
            after = decided(world, [to])
        except Exception as error:
            same = isinstance(answer, Exception) and isinstance(answer, ConflictError) == isinstance(
                error, ConflictError
            )
            return [world] if answer is None or same else []
        if answer is None:
            return [world, after]
        if isinstance(answer, Exception):
            return []
        own = after.of(to.stream)
        fits = (answer.version, answer.state) == (len(own), after.state(to.stream))
        return [after] if fits and len(answer.facts) == len(after.facts) - len(world.facts) else []

    return step


def hearing(message: Spoken) -> Step:
    """A message that is delivered, perhaps not for the first time, perhaps too early."""

    def step(world: World) -> Sequence[World]:
        if message.sequence:
            position = world.positions.get(message.lane, 0)
            if message.sequence != position + 1:
                return [world]  # a repeat, or behind a hole
            world = replace(world, positions={**world.positions, message.lane: message.sequence})
        if message.follows and any(kept.message.follows == message.follows for kept in world.open()):
            return [_keep(world, message, "waiting")]
        try:
            return [worked(world, message)]
        except Exception:
            return [_keep(world, message, "parked")]

    return step


def by_lane(said: Iterable[Spoken]) -> list[list[Step]]:
    """What is heard of each lane, in its order.

    Each lane is a thread: what a process has skipped in one, since another process was ahead there, is older than what
    it has heard in the others.
    """
    lanes: dict[int, list[Step]] = {}
    for spoken in said:
        lanes.setdefault(spoken.lane, []).append(hearing(spoken))
    return list(lanes.values())


def _keep(world: World, message: Spoken, status: str) -> World:
    """One letter for one message, whatever comes of it later."""
    for at, kept in enumerate(world.letters):
        if kept.message.id == message.id:
            return _closed(world, at, status)
    return replace(world, letters=(*world.letters, Kept(message, status)))


def _closed(world: World, at: int, status: str) -> World:
    letters = list(world.letters)
    letters[at] = Kept(letters[at].message, status)
    return replace(world, letters=tuple(letters))


def mending(heard: Mapping[int, int], known: Mapping[tuple[int, int], Said]) -> Step:
    """What others have heard and the store has not is filled up."""

    def step(world: World) -> Sequence[World]:
        for lane, last in sorted(heard.items()):
            first = world.head(lane) + 1
            for sequence in range(first, last + 1):
                said = known.get((lane, sequence), Said("", "", ""))
                lost = Lost(lane, sequence, said.id, said.type, said.number)
                world = replace(world, facts=(*world.facts, (f"lost-{lane}-{first}", lost)))
        return [world]

    return step


def open_before(world: World, at: int) -> bool:
    """Whether a letter waits behind an earlier one of its stream."""
    follows = world.letters[at].message.follows
    return any(k.status in OPEN and k.message.follows == follows != "" for k in world.letters[:at])


def retrying(world: World, at: int) -> list[Step]:
    """The transactions of a retry: this letter, then those that wait behind it, until one fails."""
    follows = world.letters[at].message.follows
    behind = [
        n
        for n, kept in enumerate(world.letters)
        if n > at and kept.status == "waiting" and kept.message.follows == follows != ""
    ]
    return [_trying(n) for n in (at, *behind)]


def _trying(at: int) -> Step:
    def step(world: World) -> Sequence[World]:
        if open_before(world, at):
            return [world]  # one before it has failed
        try:
            return [_closed(worked(world, world.letters[at].message), at, "done")]
        except Exception:
            return [_closed(world, at, "parked")]

    return step


def dropping(world: World, at: int) -> list[Step]:
    """The transactions of giving a letter up: those that waited behind it are tried."""
    return [lambda world: [_closed(world, at, "dropped")], *retrying(world, at)[1:]]


def orphans(world: World) -> list[int]:
    """Letters that wait although nothing parked is before them any more."""
    found: dict[str, int] = {}
    for at, kept in enumerate(world.letters):
        parked = any(k.status == "parked" and k.message.follows == kept.message.follows for k in world.letters[:at])
        if kept.status == "waiting" and not parked:
            found.setdefault(kept.message.follows, at)
    return list(found.values())


Thread = tuple[Sequence[Step], bool]
"""The steps of one process, and whether it may have been cut off anywhere in them."""


def explained(world: World, seen: World, threads: Sequence[Thread]) -> World | None:
    """The world that is what was seen, after these threads in some mixture; None when there is none."""
    visited: set[Any] = set()

    def search(world: World, threads: Sequence[Thread]) -> World | None:
        if not _may_become(world, seen):
            return None
        if all(may_stop or not steps for steps, may_stop in threads) and alike(world, seen):
            return world
        positions = tuple(sorted(world.positions.items()))
        place = (len(world.facts), positions, tuple(letters_of(world)), tuple(threads_left(threads)))
        if place in visited:
            return None
        visited.add(place)
        for at, (steps, may_stop) in enumerate(threads):
            if steps:
                rest = [*threads[:at], (steps[1:], may_stop), *threads[at + 1 :]]
                for following in steps[0](world):
                    if (found := search(following, rest)) is not None:
                        return found
        return None

    return search(world, threads)


def _may_become(world: World, seen: World) -> bool:
    """Facts, letters and positions only ever come to what is there."""
    letters = [kept.message.id for kept in seen.letters]
    return (
        world.facts == seen.facts[: len(world.facts)]
        and [kept.message.id for kept in world.letters] == letters[: len(world.letters)]
        and all(sequence <= seen.positions.get(lane, 0) for lane, sequence in world.positions.items())
    )


def threads_left(threads: Sequence[Thread]) -> list[int]:
    """How many steps of each are still to come."""
    return [len(steps) for steps, _ in threads]


def alike(world: World, seen: World) -> bool:
    """Whether two worlds are the same to an observer, who sees ids and statuses of letters."""
    return (world.facts, world.positions, letters_of(world)) == (seen.facts, seen.positions, letters_of(seen))


def letters_of(world: World) -> list[tuple[str, str]]:
    """(message id, status) of every letter."""
    return [(kept.message.id, kept.status) for kept in world.letters]
