"""The command bus in memory: it decides and folds for real, and answers queries with given rows."""

from collections.abc import Sequence
from typing import Any

from shared.errors import ConflictError
from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Meta, Recorded


class MemoryCommands:
    """`rows`: what `fetch` answers; `asked`: the queries and arguments so far; `executed`: (command, corr, trace)."""

    def __init__(self) -> None:
        self.streams: dict[str, list[Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.executed: list[tuple[Any, str, str]] = []

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        history = self.streams.setdefault(to.stream, [])
        if to.expected_version is not None and to.expected_version != len(history):
            raise ConflictError(f"{to.stream} is at version {len(history)}", code="version")
        facts = to.decider.decide(to.decider.fold(history), to.command)
        self.executed.append((to.command, corr, trace))
        first = len(history) + 1
        history += facts
        recorded = tuple(Recorded(to.stream, n, fact, Meta(0)) for n, fact in enumerate(facts, first))
        return Outcome(to.stream, len(history), to.decider.fold(history), recorded)

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        history = self.streams.get(decider.stream(key), [])
        return decider.fold(history), len(history)

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        self.asked.append((sql, args))
        return self.rows
