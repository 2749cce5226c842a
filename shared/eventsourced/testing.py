"""given(past facts).when(command).then(new facts): how every decider test reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.eventsourced.decider import Decider


@dataclass(frozen=True)
class Scenario:
    """A sentence about a decider. Immutable, so a started sentence can be used many times."""

    decider: Decider[Any, Any, Any]
    history: tuple[Any, ...] = ()
    command: Any = None

    def given(self, *history: Any) -> "Scenario":
        return Scenario(self.decider, (*self.history, *history))

    def when(self, command: Any) -> "Scenario":
        """Earlier commands become history with the facts they lead to."""
        if self.command is None:
            return Scenario(self.decider, self.history, command)
        return Scenario(self.decider, (*self.history, *self.facts()), command)

    def then(self, *expected: Any) -> None:
        assert tuple(self.facts()) == expected

    def then_nothing(self) -> None:
        self.then()

    def then_refuses(self, error: type[Exception], code: str | None = None) -> None:
        """The command raises this error, with this `code` when one is given."""
        try:
            facts = self.facts()
        except error as raised:
            assert code is None or getattr(raised, "code", None) == code, f"{raised!r} has another code than {code}"
            return
        raise AssertionError(f"{self.command} was not refused but led to {facts}")

    def facts(self) -> Sequence[Any]:
        """What the last command led to."""
        return self.decider.decide(self.decider.fold(self.history), self.command)

    def state(self) -> Any:
        """The state after everything so far."""
        facts = self.facts() if self.command is not None else ()
        return self.decider.fold((*self.history, *facts))
