"""Deciding a batch in memory: works in, facts and final states out. Pure; loading and writing happen around it.

Works are decided one after the other, each with all its reactions, so the outcome equals one transaction per work.
A work that raises leaves no trace but its error. A stream that was not loaded makes the pass a discovery: the
caller loads what is missing and decides again from the same known states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import ConflictError
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.letters import Letter
from shared.eventsourced.policy import Reactions
from shared.eventsourced.projecting import Row, Table

ROUNDS_MAX = 8
"""How many times reactions may lead to further reactions before it is called a loop."""


@dataclass(slots=True)
class Work:
    """What one message or request asks for, and after deciding what became of it.

    `stream`: works of one speaker's stream wait behind a parked one; "" when nothing waits. `poison`: the error
    with which reading or the policy already failed. `letter` makes what is kept if it fails (None: tell the caller).
    `rows`: read rows that follow from the message itself. `after`: state and version of the first command's stream.
    `trace`: traceparent of this work, `parent`: of who asked for it ("": nobody said).
    """

    commands: Sequence[To[Any]]
    corr: str = ""
    cause: str = ""
    trace: str = ""
    stream: str = ""
    letter: Callable[[], Letter] | None = None
    poison: Exception | None = None
    rows: Sequence[tuple[Table, Row]] = ()
    error: Exception | None = None
    waits: bool = False
    facts: Sequence[Recorded] = ()
    after: tuple[Any, int] = (None, 0)
    parent: str = ""


@dataclass(slots=True)
class Decided:
    """What a pass over a batch led to.

    `states`: stream → (state, version, decider) of every stream that changed; `read`: every stream that was looked at;
    `missing`: those that were not known, so that the pass must be made again.
    """

    facts: list[Recorded] = field(default_factory=list)
    states: dict[str, tuple[Any, int, Decider[Any, Any, Any]]] = field(default_factory=dict)
    read: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)
    missing: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)


class Pass:
    """One pass over the works of a batch, from known states."""

    def __init__(
        self,
        known: Callable[[str], tuple[Any, int] | None],
        react: Reactions,
        number: "Numbering | None",
        now_us: int,
    ) -> None:
        self._known = known
        self._react = react
        self._number = number
        self._now_us = now_us
        self._result = Decided()

    def decide(self, works: Iterable[Work], blocked: Iterable[str] = ()) -> Decided:
        """Decide all works in order; works of a blocked stream wait, and a failing one blocks its stream."""
        stopped = set(blocked)
        for work in works:
            work.facts, work.error, work.waits = (), None, bool(work.stream) and work.stream in stopped
            if work.waits:
                continue
            try:
                if work.poison is not None:
                    raise work.poison
                if work.commands:
                    self._decide_one(work)
            except Exception as error:  # a decider may fail in any way; only its own work may suffer
                work.error = error
                if work.stream and work.letter is not None:
                    stopped.add(work.stream)
        return self._result

    def _decide_one(self, work: Work) -> None:
        result = self._result
        before: dict[str, Any] = {}
        mark = len(result.facts)
        meta = Meta(self._now_us, work.corr, work.cause, work.trace)
        if self._number is not None:
            self._number.begin()
        try:
            self._decide_rounds(work.commands, meta, before)
        except BaseException:
            del result.facts[mark:]
            if self._number is not None:
                self._number.undo()
            for stream, entry in before.items():
                if entry is None:
                    del result.states[stream]
                else:
                    result.states[stream] = entry
            raise
        work.facts = result.facts[mark:]
        if work.letter is None:
            work.after = self._state_of(work.commands[0].stream)

    def _decide_rounds(self, commands: Sequence[To[Any]], meta: Meta, before: dict[str, Any]) -> None:
        """The commands in their order, then what their facts led to, and so on until nothing follows."""
        for _ in range(ROUNDS_MAX):
            reacting: list[To[Any]] = []
            for to in commands:
                new = self._decide_command(to, meta, before)
                if new:
                    reacting.extend(self._react(new))
            if not reacting:
                return
            commands = reacting
        raise RuntimeError(f"reactions did not come to an end in {ROUNDS_MAX} rounds")

    def _state_of(self, stream: str) -> tuple[Any, int]:
        changed = self._result.states.get(stream)
        return changed[:2] if changed is not None else self._known(stream) or (None, 0)

    def _decide_command(self, to: To[Any], meta: Meta, before: dict[str, Any]) -> list[Recorded]:
        result, stream, decider = self._result, to.stream, to.decider
        changed = result.states.get(stream)
        if changed is not None:
            state, version, _ = changed
        else:
            result.read[stream] = decider
            known = self._known(stream)
            if known is None:
                result.missing[stream] = decider
                return []
            state, version = known
        if to.expected_version is not None and to.expected_version != version:
            raise ConflictError(f"{stream} is at version {version}, not {to.expected_version}", code="version")
        facts = decider.decide(state, to.command)
        if not facts:
            return []
        before.setdefault(stream, changed)
        recorded = []
        for fact in facts:
            if self._number is not None:
                fact = self._number(fact)
            version += 1
            state = decider.evolve(state, fact)
            recorded.append(Recorded(stream, version, fact, meta))
        result.states[stream] = (state, version, decider)
        result.facts.extend(recorded)
        return recorded


class Numbering:
    """Hands out the next numbers of series behind `first`: series → the last number that is taken.

    Whether these are still the last ones is for the caller to prove, under the store's lock, before it writes.
    """

    def __init__(self, series: Mapping[type[Any], Any], first: Mapping[str, int]) -> None:
        self._series = series
        self.first = dict(first)
        self._taken: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Give back everything: the batch is decided anew."""
        self.last = dict(self.first)

    @property
    def taken(self) -> dict[str, tuple[int, int]]:
        """Series → (the last number before, the last number now), of those of which any was handed out."""
        return {
            series: (self.first.get(series, 0), last)
            for series, last in self.last.items()
            if last != self.first.get(series, 0)
        }

    def begin(self) -> None:
        """What is taken from now on may be undone."""
        self._taken.clear()

    def undo(self) -> None:
        """Give back what was taken since `begin`: work that fails burns no number."""
        for name in self._taken:
            self.last[name] -= 1
        self._taken.clear()

    def __call__(self, fact: Any) -> Any:
        numbered = self._series.get(type(fact))
        if numbered is None:
            return fact
        name = numbered.series(fact)
        number = self.last.get(name, 0) + 1
        self.last[name] = number
        self._taken.append(name)
        return numbered.numbered(fact, number)
