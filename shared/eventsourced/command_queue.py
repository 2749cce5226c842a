"""Group commit: commands of concurrent HTTP requests share a transaction, and each gets its own answer."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import UnavailableError
from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.faults import isolating, unavailable
from shared.eventsourced.store import Store
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.work import Work
from shared.tracing import caller, child_of

GROUP_SECONDS = 0.012
"""Where requests wait, a group begins so long after the one before at the soonest: a group costs as much as ten of its
commands, so many small ones make all answers come later where the machine is full."""

BUSY_SECONDS = 1.0
"""So long after the last command more are expected."""

ANSWER_SECONDS_MAX = 10
"""A request waits no longer than this for its transaction; the command may still be carried out, so it says so."""


@dataclass(slots=True)
class _Asked:
    work: Work
    answer: "asyncio.Future[Outcome]"


class CommandQueue:
    """Implements `Commands`: the face of the engine towards `api.py`."""

    def __init__(self, work: UnitOfWork, pool: Any, store: Store, *, queued_max: int, batch_max: int) -> None:
        self._work, self._pool, self._store = work, pool, store
        self._queued_max, self._batch_max = queued_max, batch_max
        self._queue: deque[_Asked] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._asked_at = -math.inf

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        if self._closed or len(self._queue) >= self._queued_max:
            raise UnavailableError("too many requests are waiting; try again in a moment")
        order_id = getattr(to.command, "order_id", "")
        parent = caller(trace, order_id)
        work = Work((to,), corr or to.key, "http", child_of(parent, order_id), parent=parent)
        asked = _Asked(work, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        self._asked_at = time.monotonic()
        self._wake.set()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await asked.answer
        except TimeoutError:
            raise UnavailableError(
                "no answer from the store in time; the command may still be carried out: repeat it with the same id"
            ) from None

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        stream = decider.stream(key)
        try:
            async with self._pool.acquire(timeout=5) as connection:
                entry = (await self._store.load(connection, {stream: decider}))[stream]
        except Exception as error:
            raise unavailable(error) from error
        return entry.state, entry.version

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        try:
            async with self._pool.acquire(timeout=5) as connection:
                rows: Sequence[Any] = await connection.fetch(sql, *args, timeout=5)
                return rows
        except Exception as error:
            raise unavailable(error) from error

    async def run(self) -> None:
        """Decide what is queued, group by group; ends when closed and empty."""
        while not (self._closed and not self._queue):
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            group = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max))]
            began = time.monotonic()
            try:
                await isolating(group, self._decide, self._spoil)
            except Exception as error:
                for asked in group:
                    _fail(asked, unavailable(error))
            if 0 < len(self._queue) < self._batch_max:
                await asyncio.sleep(began + GROUP_SECONDS - time.monotonic())

    @property
    def busy(self) -> bool:
        """Whether a command was asked for a moment ago."""
        return time.monotonic() - self._asked_at < BUSY_SECONDS

    @property
    def waiting(self) -> int:
        """How many commands wait for a transaction."""
        return len(self._queue)

    def close(self) -> None:
        """Take no more commands; `run` finishes those that wait."""
        self._closed = True
        self._wake.set()

    async def _decide(self, group: Sequence[_Asked]) -> None:
        group = [asked for asked in group if not asked.answer.done()]
        await self._work.run(Batch([asked.work for asked in group]))
        for asked in group:
            work = asked.work
            if work.error is not None:
                _fail(asked, work.error)
            elif not asked.answer.done():
                state, version = work.after
                stream = work.commands[0].stream
                asked.answer.set_result(Outcome(stream, version, state, tuple(work.facts)))

    async def _spoil(self, asked: _Asked, error: Exception) -> None:
        _fail(asked, error)


def _fail(asked: _Asked, error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
