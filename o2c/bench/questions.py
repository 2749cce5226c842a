"""What callers look at meanwhile: pages of a list, asked for at a fixed rate, of each replica of a service in turn."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from urllib.parse import urlsplit

from o2c.bench.http_load import Sender, connected

PAGES = {
    "order": "/orders",
    "credit": "/credit-accounts",
    "fulfillment": "/stock",
    "billing": "/invoices",
    "receivables": "/open-items",
    "analytics": "/order-cycle",
}
"""Service → the list that is asked for."""
ROWS = 20
CONNECTIONS = 16
"""To each replica; each has one question on its way at most."""


@dataclass
class Answers:
    """What came of the questions: `milliseconds` from when each was due, in any order; how many had which status."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> dict[str, int]:
        """Status → how many had it, of those that were no answers."""
        return {status: number for status, number in self.statuses.items() if status != "200"}


@dataclass
class Asking:
    """`go`: ask from now on. `count_until`: questions that were due later do not count (`time.perf_counter`)."""

    go: Callable[[], None] = lambda: None
    count_until: float = math.inf


@asynccontextmanager
async def asking(
    service: str, urls: Sequence[str], rate: float, seconds_max: float, answers: Answers
) -> AsyncIterator[Asking]:
    """Ask for so many pages a second until the block ends; none at a rate of 0.

    `answers` then knows what came of it; what is still on its way is not waited for.
    """
    if not rate:
        yield Asking()
        return
    parts = [urlsplit(url) for url in urls]
    by_replica = [await connected(part.hostname or "", part.port or 80, CONNECTIONS) for part in parts]
    connections = list(chain(*zip(*by_replica, strict=True)))
    sender = Sender(connections)
    request = f"GET {PAGES[service]}?limit={ROWS} HTTP/1.1\r\nHost: {parts[0].netloc}\r\n\r\n".encode()
    sending: list[asyncio.Task[None]] = []
    questions = [request] * int(rate * seconds_max)
    ask = Asking(lambda: sending.append(asyncio.create_task(sender.send(questions, rate))))
    try:
        yield ask
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        waited = zip(sender.due, sender.seconds, strict=True)
        answers.milliseconds += [1000 * seconds for due, seconds in waited if due <= ask.count_until]
        answers.statuses += Counter(sender.statuses)
        for connection in connections:
            connection.close()
