"""Facts, commands and states are frozen structs; a fact also has a stored name that outlives its module path."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from eventsourcing.utils import register_topic

from shared.values import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(at_us: int) -> datetime:
    """Microseconds since 1970 (`Meta.at`) as an instant in UTC, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=at_us)


class Fact(Value, frozen=True, gc=False):
    """Something that happened, in the past tense. Declare every subclass with `@fact(...)`."""


class Command(Value, frozen=True, gc=False):
    """Something that is asked for, in the imperative. Instants, days and ids come in with it."""


class State(Value, frozen=True, gc=False):
    """What the facts of one stream add up to. Growing maps in it are `Map` (a persistent map), never dict."""


class Meta(Value, frozen=True, gc=False, omit_defaults=True):
    """What the engine knows about a fact beside its content.

    `at`: the instant it was recorded, UTC, microseconds since 1970 (an integer: ten times cheaper than text).
    `corr`: the order (or other root) this belongs to; `cause`: id of the message or request that led to it.
    `trace`: W3C traceparent of the work that recorded it.
    """

    at: int
    corr: str = ""
    cause: str = ""
    trace: str = ""


class Recorded(Value, frozen=True, gc=False):
    """A fact at its place in a stream; with `originator_*` names it meets eventsourcing's event protocol."""

    originator_id: str
    originator_version: int
    fact: Any
    meta: Meta

    @property
    def id(self) -> str:
        """The identity that every copy of this fact's public message carries: `stream@version`."""
        return f"{self.originator_id}@{self.originator_version}"


F = TypeVar("F", bound=type[Fact])

_names: dict[type[Fact], tuple[str, int]] = {}


def fact(name: str, *, version: int = 1) -> Callable[[F], F]:
    """Register a fact class under its stored name `service.Fact` and the version of its content.

    A class of version n > 1 has static methods `upcast_v1_v2(data)`, … that change a decoded dict in place.
    """

    def declare(cls: F) -> F:
        register_topic(name, cls)
        _names[cls] = (name, version)
        return cls

    return declare


def stored_name(cls: type[Any]) -> str:
    """The name under which facts of this class are stored; KeyError for a class without `@fact`."""
    return _names[cls][0]


def stored_version(cls: type[Any]) -> int:
    """The current version of the content of this class's facts."""
    return _names[cls][1]


def declared_facts() -> dict[str, tuple[type[Fact], int]]:
    """All registered facts: stored name → (class, current version)."""
    return {name: (cls, version) for cls, (name, version) in _names.items()}
