"""From what is heard or decided to what shall be done next: the shapes of policies and reactions. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.values import Value


class Heard(Value, frozen=True, gc=False):
    """What is known about a message beside its content.

    `id`: its identity, the same in every copy. `at`: when it was said, UTC. `corr`: the order it belongs to.
    `trace`: W3C traceparent. `subject`: the speaker's stream (messages of one subject stay in order).
    """

    id: str
    type: str
    at: datetime
    corr: str = ""
    trace: str = ""
    subject: str = ""


Policy = Callable[[Any, Heard], Sequence[To[Any]]]
"""(message, heard) → commands to own aggregates."""

Hears = Mapping[type[Any], Policy]
"""Which message classes a service listens to, and what it then does."""

Reactions = Callable[[Sequence[Recorded]], Sequence[To[Any]]]
"""Facts that one command led to → commands to other own aggregates, decided in the same transaction."""


def no_reactions(_: Sequence[Recorded]) -> Sequence[To[Any]]:
    """For services whose aggregates do not talk to each other."""
    return ()
