"""How records are taken from Kafka: batch by batch, and a small batch waits for more.

A batch costs as much as a hundred of its messages, so waiting a moment is cheaper than working at once. Where the
machine is busy the batch before took longer, and this one waits longer: batches become fewer and larger, and the
machine less busy.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

ENOUGH = 200
"""A batch of so many messages waits for no more: it is large enough for its cost."""

TIMES = 4
"""A small batch waits so many times what the batch before took beyond the least wait, if that is more."""

GATHER_MS_MAX = 250
"""Longer nobody waits, however long the batch before took."""

ANSWERING = 100
"""Messages in a batch of a process that answers callers at the same time: about 10 ms of work."""

FULL_IN_A_ROW = 50
"""So many such batches, one after the other, say that they do not keep pace: then they may be twice as large."""


class Gathering:
    """Takes batches for one subscriber."""

    def __init__(
        self, *, records_max: int, poll_ms: int, gather_ms: int, answering: Callable[[], bool] = lambda: False
    ) -> None:
        """`poll_ms`: for how long a poll that brings nothing lasts. `answering`: whether callers wait for answers.

        `gather_ms`: for how long a small batch waits at least; 0: none ever waits.
        """
        self._records_max, self._poll_ms, self._gather_ms = records_max, poll_ms, gather_ms
        self._answering = answering
        self._given_at: float | None = None
        self._full = 0
        self.taken_in = 0

    async def take(self, consumer: Any, turn: Callable[[], int] = lambda: 0) -> tuple[Any, ...]:
        """The next batch, or nothing. KafkaError when the first poll fails, or the second while partitions go.

        `turn`: changes when the partitions are given out. All of a batch is of one turn, `taken_in`: what was taken
        before comes again, to whoever has the partitions then.

        FastStream's own sleeps as long again after a poll that brought nothing: the next record would wait for that.
        """
        took_ms = 0.0 if self._given_at is None else 1000 * (time.monotonic() - self._given_at)
        self._given_at = None
        most = self._most()
        found = await poll(consumer, self._poll_ms, most)
        self.taken_in = turn()
        if self._gather_ms and 0 < len(found) < min(ENOUGH, most):
            wait_ms = min(TIMES * (took_ms - self._gather_ms), GATHER_MS_MAX)
            await asyncio.sleep(max(wait_ms, self._gather_ms) / 1000)
            try:
                more = await poll(consumer, 0, most - len(found))
            except Exception:
                if turn() != self.taken_in:
                    raise
                more = ()  # what is in hand counts as consumed: it must not go because this failed, however it did
            found = found + more if turn() == self.taken_in else more
            self.taken_in = turn()
        self._full = self._full + 1 if len(found) == most else 0
        self._given_at = time.monotonic()
        return found

    def _most(self) -> int:
        """How many records the next batch may have: who waits for an answer waits for the batch before it, too."""
        if not self._answering():
            return self._records_max
        return min(ANSWERING << min(self._full // FULL_IN_A_ROW, 20), self._records_max)


async def poll(consumer: Any, timeout_ms: int, most: int) -> tuple[Any, ...]:
    """The records of all partitions that are there, or come in time."""
    return tuple(chain(*(await consumer.getmany(timeout_ms=timeout_ms, max_records=most)).values()))
