"""How an HTTP route has commands decided and rows read: the face of the engine towards `api.py`."""

from collections.abc import Sequence
from typing import Any, Protocol

from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Recorded
from shared.values import Value


class Outcome(Value, frozen=True, gc=False):
    """What a command led to: the stream, its version and state afterwards, and the facts (none for a repeat)."""

    stream: str
    version: int
    state: Any
    facts: tuple[Recorded, ...]


class Commands(Protocol):
    """Decides commands in shared transactions and reads states and read tables."""

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        """Decide one command durably. Concurrent calls share a transaction.

        Raises DomainError (refused), ConflictError (`expected_version` is not the version), UnavailableError
        (the queue is full, or the store is away for longer than the request may wait).
        """
        ...

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        """The folded state of one aggregate and its version (0: nothing was ever recorded)."""
        ...

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Rows (asyncpg records) of the service's own read tables. Statements time out after 5 s."""
        ...
