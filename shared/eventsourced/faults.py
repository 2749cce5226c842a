"""Which errors pass by themselves and which never do, how long to wait, and how to find the one bad apple."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg
from aiokafka.errors import KafkaError

from shared.errors import ConcurrencyError, O2CError, UnavailableError

T = TypeVar("T")

WAIT_SECONDS_MIN = 0.05
WAIT_SECONDS_MAX = 5.0

# SQLSTATE classes that say something about the server or the moment, not about the data: connection, transaction state,
# logging in (a password is changed before all processes have the new one), transaction rollback, resources, object
# state, operator intervention, system error, configuration, internal error.
_PASSING_SQLSTATES = ("08", "25", "28", "40", "53", "55", "57", "58", "F0", "XX")

_PASSING = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg says of a connection that was cut between two of its steps ("cannot switch to state 15; another
    # operation (2) is in progress"): nothing about the data, and the next connection is another.
    asyncpg.InternalClientError,
    KafkaError,
    ConcurrencyError,
    UnavailableError,
)


def passes(error: BaseException) -> bool:
    """Whether trying again later can help."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "XX")[:2] in _PASSING_SQLSTATES
    return isinstance(error, _PASSING)


class Backoff:
    """Waits that double up to a limit, with jitter; start anew with `reset`."""

    def __init__(self) -> None:
        self._seconds = WAIT_SECONDS_MIN

    def reset(self) -> None:
        self._seconds = WAIT_SECONDS_MIN

    async def wait(self) -> None:
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1.0))
        self._seconds = min(self._seconds * 2, WAIT_SECONDS_MAX)


def unavailable(error: Exception) -> Exception:
    """What a caller is told of a fault of the store: to try again, if it passes; else the error as it is.

    What we say ourselves (nothing may be written, other writers were always first) is told in those words.
    """
    if not passes(error):
        return error
    if isinstance(error, O2CError):
        return UnavailableError(error.message)
    return UnavailableError(f"the store does not answer: {type(error).__name__}")


async def isolating(
    items: Sequence[T],
    run: Callable[[Sequence[T]], Awaitable[None]],
    spoil: Callable[[T, Exception], Awaitable[None]],
) -> None:
    """Run items together; if that fails for a reason that never passes, by halves, down to the one that fails alone.

    That one goes to `spoil`. The order is kept. Passing faults are raised.
    """
    try:
        await run(items)
    except Exception as error:
        if passes(error):
            raise
        if len(items) == 1:
            await spoil(items[0], error)
            return
        half = len(items) // 2
        await isolating(items[:half], run, spoil)
        await isolating(items[half:], run, spoil)
