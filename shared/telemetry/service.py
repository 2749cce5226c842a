"""Everything that a service process tells about itself: what `/metrics` says, and where spans and metrics go."""

import asyncio
import os
import resource
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import ASGIApp

from shared.contracts.orders import OrderConfirmed, OrderPlaced
from shared.errors import in_words
from shared.eventsourced.fresh import Placed
from shared.eventsourced.letters import count_open
from shared.eventsourced.reading import Received
from shared.eventsourced.work import Work
from shared.settings import Settings
from shared.telemetry import metrics as m
from shared.telemetry.gauges import STATEMENT_SECONDS_MAX, Kept, ask
from shared.telemetry.metrics import Family, of
from shared.telemetry.prometheus import rendered
from shared.telemetry.requests import RequestFigures, Requests
from shared.telemetry.stages import Delays, Stages
from shared.tracing import sample

if TYPE_CHECKING:
    from shared.eventsourced.service import Service
    from shared.frame.running import Running

log = structlog.get_logger()

PARTS = ("store", "kafka", "consumer", "relay", "history", "process")
"""What may keep a process from being ready; see `Running.missing`."""
CLOSE_SECONDS_MAX = 2.0

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Telemetry:
    """Of one process. Without an endpoint nothing is sent, and what sending needs is not even loaded."""

    def __init__(self, service: "Service", settings: Settings, version: str) -> None:
        self._service, self._settings, self._version = service, settings, version
        self.requests = RequestFigures()
        self._delays = Delays()
        self._stages = Stages() if {OrderPlaced, OrderConfirmed} <= service.hears.keys() else None
        self._spans: Any = None
        self._resource: Any = None
        self.on_worked: Callable[[Sequence[Work], float], None] | None = None
        self.on_said: Callable[[str, Sequence[Placed], float], None] | None = None

    def start(self) -> None:
        """Begin to sample and to export, if there is where to."""
        sample(self._settings.trace_ratio if self._settings.otlp_endpoint else 0.0)
        if not self._settings.otlp_endpoint:
            return
        from shared.telemetry.batches import BatchSpans
        from shared.telemetry.spans import Spans, resource_of

        self._resource = resource_of(self._service.name, self._version)
        self._spans = Spans(self._settings.otlp_endpoint, self._resource)
        batches = BatchSpans(self._service.name, self._spans)
        self.on_worked, self.on_said = batches.worked, batches.said

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with its requests counted, timed and traced."""
        return Requests(app, self.requests, self._spans)

    def on_heard(self, received: Sequence[Received]) -> None:
        """A batch without repeats is committed. Never raises."""
        try:
            self._delays.heard(received)
            if self._stages is not None:
                self._stages.heard(received)
        except Exception as error:
            log.warning("a batch is not timed", error=in_words(error))

    @property
    def pushes(self) -> bool:
        """Whether metrics shall be sent at intervals, too."""
        return bool(self._settings.otlp_endpoint and self._settings.otlp_metrics_seconds)

    async def push(self, families: Callable[[], Awaitable[list[Family]]]) -> None:
        """Send metrics at intervals; ends only by cancellation."""
        from shared.telemetry.otlp import push

        seconds = self._settings.otlp_metrics_seconds
        await push(self._settings.otlp_endpoint, self._resource, families, seconds=seconds)

    async def close(self, seconds: float) -> None:
        """Send the spans that are left, within this time and CLOSE_SECONDS_MAX."""
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close, min(seconds, CLOSE_SECONDS_MAX))

    def own(self) -> list[Family]:
        """What is counted here and not by the engine."""
        stages = self._stages.seconds if self._stages is not None else {}
        spans = self._spans
        return [
            Family(m.HTTP, list(self.requests.seconds.items())),
            of(m.ACTIVE, self.requests.active),
            Family(m.DELAY, [((speaker,), delays) for speaker, delays in self._delays.by_speaker.items()]),
            Family(m.STAGES, [((stage,), seconds) for stage, seconds in stages.items()]),
            Family(
                m.SPANS,
                [((result,), getattr(spans, result, 0)) for result in ("exported", "dropped", "failed")],
            ),
        ]


class MetricsPage:
    """All metrics of a running process at one moment; what must be asked of the store is kept some seconds."""

    def __init__(self, running: "Running", telemetry: Telemetry) -> None:
        self._running, self._telemetry = running, telemetry
        self._asked = Kept[list[Family]](self._ask, [])
        self._missing = Kept[dict[str, str]](running.missing, {"store": "no answer"})
        self._lag = Kept[dict[str, int]](running.lag, {})

    async def text(self) -> str:
        """The page of `/metrics`."""
        return rendered(await self.families())

    async def families(self) -> list[Family]:
        """Everything, in the order of the catalogue. What the store does not answer in time is left out."""
        asked, missing, lag = await asyncio.gather(self._asked(), self._missing(), self._lag())
        running = self._running
        return [
            *process(running.version, running.started_at, running.gc_seconds, missing),
            *engine(running),
            Family(m.LAG, [((topic,), behind) for topic, behind in lag.items()]),
            *self._telemetry.own(),
            *asked,
        ]

    async def _ask(self) -> list[Family]:
        pool = self._running.pool
        async with pool.acquire() as connection:
            # From the store: what this process last saw of it is old when another replica leads.
            backlog = await connection.fetchval(
                "SELECT greatest(coalesce((SELECT max(notification_id) FROM events), 0) - cursor, 0) FROM relay",
                timeout=STATEMENT_SECONDS_MAX,
            )
            letters = await count_open(connection, STATEMENT_SECONDS_MAX)
        own = await ask(pool, self._running.service.gauges)
        statuses = [((status,), float(letters.get(status, 0))) for status in ("parked", "waiting")]
        return [of(m.BACKLOG, backlog), Family(m.LETTERS, statuses), *own]


def process(version: str, started_at: float, gc_seconds: float, missing: Mapping[str, str]) -> list[Family]:
    """The process itself."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [
        Family(m.VERSION, [((version,), 1)]),
        of(m.STARTED, started_at),
        of(m.CPU, used.ru_utime + used.ru_stime),
        of(m.MEMORY, _resident_bytes()),
        of(m.GC, gc_seconds),
        Family(m.MISSING, [((part,), float(part in missing)) for part in PARTS]),
    ]


def _resident_bytes() -> float | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:  # not on Linux
        return None


def engine(running: "Running") -> list[Family]:
    """What the engine has counted."""
    work, consumer, relay, cache = running.work, running.consumer, running.relay, running.store.cache
    figures, pool = work.figures, running.pool
    steps = ("load", "decide", "write", "whole")
    return [
        of(m.WORKS, figures.works),
        Family(m.STEPS, [((step,), getattr(figures, step)) for step in steps]),
        of(m.FACTS, figures.facts),
        of(m.CONFLICTS, work.conflicts),
        of(m.QUEUED, running.commands.waiting),
        Family(m.LOOKUPS, [(("hit",), cache.hits), (("miss",), cache.misses)]),
        of(m.STATES, len(cache)),
        of(m.BATCHES, consumer.batches),
        of(m.RECORDS, consumer.records),
        of(m.BATCH_RECORDS, consumer.figures.records),
        of(m.HANDLING, consumer.figures.seconds),
        of(m.DUPLICATES, consumer.duplicates),
        of(m.PARKED, consumer.parked),
        of(m.GAPS, len(consumer.gaps)),
        of(m.ASKED, running.resending.asked),
        Family(m.SENT, [(("new",), relay.sent), (("again",), relay.sent_again)]),
        of(m.SENDING, relay.figures.seconds),
        of(m.SENT_BATCH, relay.figures.messages),
        of(m.LEADS, float(relay.leads)),
        Family(m.POOL, [(("used",), pool.get_size() - pool.get_idle_size()), (("idle",), pool.get_idle_size())]),
        of(m.POOL_MAX, pool.get_max_size()),
    ]
