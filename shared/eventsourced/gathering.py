"""How records are taken from Kafka: batch by batch, and a small batch waits for more.

A batch costs as much as a hundred of its messages, so waiting a moment is cheaper than working at once. Where the
machine is busy the batch before took longer, and this one waits longer: batches become fewer and larger, and the
machine less busy.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

from aiokafka.errors import KafkaError

ENOUGH = 200
"""A batch of so many messages waits for no more: it is large enough for its cost."""

TIMES = 2
"""By so many times what the batch before took longer than it would have had to wait, a small batch waits longer."""

GATHER_MS_MAX = 250
"""Longer nobody waits, however long the batch before took."""


class Gathering:
    """Takes batches for one subscriber."""

    def __init__(self, *, most: Callable[[], int], poll_ms: int, gather_ms: int) -> None:
        """`most`: how many records the next batch may have. `poll_ms`: for how long a poll that brings nothing lasts.

        `gather_ms`: for how long a small batch waits at least; 0: none ever waits.
        """
        self._most, self._poll_ms, self._gather_ms = most, poll_ms, gather_ms
        self._given_at = time.monotonic()

    async def take(self, consumer: Any) -> tuple[Any, ...]:
        """The next batch, or nothing. KafkaError when the first poll fails.

        FastStream's own sleeps as long again after a poll that brought nothing: the next record would wait for that.
        """
        took_ms = 1000 * (time.monotonic() - self._given_at)
        most = self._most()
        found = await poll(consumer, self._poll_ms, most)
        if self._gather_ms and 0 < len(found) < min(ENOUGH, most):
            wait_ms = max(TIMES * (took_ms - self._gather_ms), self._gather_ms)
            await asyncio.sleep(min(wait_ms, GATHER_MS_MAX) / 1000)
            # What is in hand counts as consumed: it must not go because the question for more fails.
            with suppress(KafkaError):
                found += await poll(consumer, 0, most - len(found))
        self._given_at = time.monotonic()
        return found


async def poll(consumer: Any, timeout_ms: int, most: int) -> tuple[Any, ...]:
    """The records of all partitions that are there, or come in time."""
    return tuple(chain(*(await consumer.getmany(timeout_ms=timeout_ms, max_records=most)).values()))
