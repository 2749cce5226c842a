"""The pure contract every aggregate meets: decide what happens, then evolve the state."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

S = TypeVar("S")
C = TypeVar("C")
F = TypeVar("F")


@dataclass(frozen=True)
class Decider(Generic[S, C, F]):
    """One kind of aggregate. Its streams are named `{name}-{key}`.

    `decide(state, command)` returns new facts (none for a repeat) and raises `DomainError` only for a caller
    who can be told; `evolve(state, fact)` never refuses. `facts` lists every fact class of its streams.
    `snapshots`: whether streams of this kind grow without bound and so want snapshots. `state_version`: raise it when
    `evolve` or the state's shape changes, so that old snapshots are not used any more; `tests/states/` keeps them.
    """

    name: str
    initial: S
    decide: Callable[[S, C], Sequence[F]]
    evolve: Callable[[S, F], S]
    facts: tuple[type[Any], ...]
    snapshots: bool = False
    state_version: int = 1

    def fold(self, facts: Iterable[F], state: S | None = None) -> S:
        """The state after these facts, starting from `state` or from the beginning."""
        return reduce(self.evolve, facts, self.initial if state is None else state)

    def stream(self, key: str) -> str:
        """The name of the stream of the aggregate with this key."""
        return f"{self.name}-{key}"


@dataclass(frozen=True)
class To(Generic[C]):
    """A command with its address: which aggregate, of which kind, shall decide it.

    `expected_version`: the stream version the caller has seen (an HTTP If-Match); None if it does not matter.
    """

    decider: Decider[Any, Any, Any]
    key: str
    command: C
    expected_version: int | None = None

    @property
    def stream(self) -> str:
        return f"{self.decider.name}-{self.key}"
