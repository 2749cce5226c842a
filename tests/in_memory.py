"""A service without a database: its deciders and reactions, run as the engine runs them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.policy import Heard
from shared.eventsourced.service import Service
from shared.eventsourced.work import Numbering, Pass, Work

HEARD_AT = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


class InMemory:
    """Decides one message or request after the other, each with all its reactions. Implements `Commands` in part."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.states: dict[str, tuple[Any, int]] = {}
        self.recorded: list[Recorded] = []
        self.numbers: dict[str, int] = {}
        self._deciders = {decider.name: decider for decider in service.deciders}

    def do(self, *commands: To[Any]) -> list[Any]:
        """The facts that these commands, as one piece of work, lead to; raises what the engine would report."""
        return [recorded.fact for recorded in self._run(commands).facts]

    def hear(self, message: Any, at: datetime = HEARD_AT) -> list[Any]:
        """The facts that a message leads to."""
        heard = Heard(id="m", type=type(message).__name__, at=at)
        return self.do(*self.service.hears[type(message)](message, heard))

    def state_of(self, decider: Decider[Any, Any, Any], key: str) -> Any:
        return self._known(decider.stream(key))[0]

    def _known(self, stream: str) -> tuple[Any, int]:
        known = self.states.get(stream)
        if known is None:  # a decider's name may have a hyphen of its own
            known = next((each.initial, 0) for name, each in self._deciders.items() if stream.startswith(f"{name}-"))
        return known

    def _run(self, commands: Sequence[To[Any]]) -> Work:
        work = Work(commands)
        numbering = Numbering(self.service.series, self.numbers)
        decided = Pass(self._known, self.service.reactions, numbering, 0).decide([work])
        if work.error is not None:
            raise work.error
        self.states.update({stream: (state, version) for stream, (state, version, _) in decided.states.items()})
        self.recorded.extend(work.facts)
        self.numbers = numbering.last
        return work

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        work = self._run([to])
        state, version = self._known(to.stream)
        return Outcome(to.stream, version, state, tuple(work.facts))

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        return self._known(decider.stream(key))

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        raise NotImplementedError("there are no read tables in memory")
