"""Business gauges: what the read tables say at this moment, asked when somebody looks, and not more than needed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from shared.telemetry.metrics import Family, Metric, Sample
from shared.values import Value

T = TypeVar("T")

ROWS_MAX = 10_000
"""A gauge counts no more rows than this: what it costs has a bound, and more is as bad."""
KEPT_SECONDS = 10.0
"""How old an answer of the store may be: several who scrape ask it once."""
ASK_SECONDS_MAX = 2.0
"""How long a scrape waits for the store; then it goes without."""
STATEMENT_SECONDS_MAX = 1.0


class Gauge(Value, frozen=True):
    """One statement on the service's read tables that fills several metrics.

    Its rows: the values of `labels`, then one number per metric (None: nothing to say). `{limit}` stands in `sql`
    for ROWS_MAX. `always`: label values of which 0 is said when no row has them, so that a graph has no holes.
    """

    metrics: tuple[Metric, ...]
    sql: str
    always: tuple[tuple[str, ...], ...] = ()


async def ask(pool: Any, gauges: Sequence[Gauge]) -> list[Family]:
    """The values of all gauges. Any asyncpg error: the store does not answer."""
    families = []
    async with pool.acquire() as connection:
        for gauge in gauges:
            rows = await connection.fetch(gauge.sql.format(limit=ROWS_MAX), timeout=STATEMENT_SECONDS_MAX)
            families += families_of(gauge, rows)
    return families


def families_of(gauge: Gauge, rows: Sequence[Sequence[Any]]) -> list[Family]:
    """What the rows of a gauge's statement say."""
    width = len(gauge.metrics[0].labels)
    families = []
    for place, metric in enumerate(gauge.metrics, width):
        found = {tuple(map(str, row[:width])): row[place] for row in rows}
        samples: list[Sample] = [(labels, float(value)) for labels, value in found.items() if value is not None]
        samples += [(labels, 0.0) for labels in gauge.always if found.get(labels) is None]
        families.append(Family(metric, samples))
    return families


class Kept(Generic[T]):
    """The answer to a question that costs something, asked again when it is old; one asks, and none waits for long."""

    def __init__(self, ask: Callable[[], Awaitable[T]], missing: T) -> None:
        self._ask, self._missing, self._answer = ask, missing, missing
        self._asking: asyncio.Future[T] | None = None
        self._asked_at = -KEPT_SECONDS

    async def __call__(self) -> T:
        """The answer, at most KEPT_SECONDS old, or `missing` when there is none in time."""
        if time.monotonic() - self._asked_at < KEPT_SECONDS:
            return self._answer
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._answered)
        # A server that hangs cannot even be asked to stop: the question is left alone, and not asked twice.
        await asyncio.wait([self._asking], timeout=ASK_SECONDS_MAX) if self._asking else None
        return self._answer if time.monotonic() - self._asked_at < KEPT_SECONDS else self._missing

    def _answered(self, asking: "asyncio.Future[T]") -> None:
        self._asking = None
        if asking.cancelled() or asking.exception() is not None:
            return
        self._answer, self._asked_at = asking.result(), time.monotonic()
