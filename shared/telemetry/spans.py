"""Spans on their way out by OTLP over HTTP: a bounded queue and a thread of its own, so that no work ever waits.

Spans are put together here and not by the SDK's tracer, since their ids exist before they do: the id of a piece of work
was stored with its facts and sent with its messages.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.telemetry.collector import SEND_SECONDS_MAX, Collector

QUEUE_MAX = 8_192
"""Spans that wait for the collector; what is more is dropped, and counted."""
SENT_MAX = 512
"""Spans of one request."""
DELAY_SECONDS = 1.0
LINKS_MAX = 64
"""Links of one span: a trace store shows no more, and limits of 128 are usual."""

Kind = Literal["server", "consumer", "producer", "internal"]

_KINDS: Mapping[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "internal": SpanKind.INTERNAL,
}
_SCOPE = InstrumentationScope("o2c")


class Span(msgspec.Struct, frozen=True, gc=False):
    """Something that took place. `trace`: its own traceparent; `parent`, `links`: those of others ("": no parent).

    `start`, `end`: nanoseconds since 1970. `fault`: what went wrong, in a word; "" when nothing did.
    """

    name: str
    kind: Kind
    trace: str
    parent: str
    start: int
    end: int
    attributes: Mapping[str, str | int | bool]
    links: Sequence[str] = ()
    fault: str = ""


class Spans:
    """Takes spans and exports them in the background."""

    def __init__(self, endpoint: str, resource: Resource) -> None:
        self._resource = resource
        self._collector = Collector(endpoint, "spans", "/v1/traces")
        self._exporter = OTLPSpanExporter(endpoint=self._collector.url, timeout=SEND_SECONDS_MAX)
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = self._abandoned = False
        self.exported = self.dropped = self.failed = 0
        # A daemon: a collector that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Have a span exported. Never waits, never raises."""
        if len(self._queue) >= QUEUE_MAX:
            self.dropped += 1
            return
        self._queue.append(span)
        if len(self._queue) == SENT_MAX:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Export what is left within this time, in the thread of the caller; what does not get out is lost."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        self._abandoned = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while True:
            self._wake.wait(DELAY_SECONDS)
            self._wake.clear()
            while self._queue and not self._abandoned:
                self._send([self._queue.popleft() for _ in range(min(SENT_MAX, len(self._queue)))])
            if self._closing:
                return
            time.sleep(0)  # lets the event loop go first

    def _send(self, batch: Sequence[Span]) -> None:
        collector = self._collector
        with collector.asked():
            spans = [self._readable(span) for span in batch]
            collector.took = self._exporter.export(spans) is SpanExportResult.SUCCESS
        if collector.took:
            self.exported += len(batch)
        else:
            self.failed += len(batch)

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            _context(span.trace),
            parent=_context(span.parent, remote=True) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(link, remote=True)) for link in span.links[:LINKS_MAX]],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.fault) if span.fault else Status(),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=_SCOPE,
        )


def _context(traceparent: str, *, remote: bool = False) -> SpanContext:
    flags = TraceFlags(int(traceparent[53:55], 16))
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), remote, flags)


def resource_of(service: str, version: str) -> Any:
    """Who speaks, with what OTEL_RESOURCE_ATTRIBUTES says on top."""
    return Resource.create({"service.name": f"o2c-{service}", "service.namespace": "o2c", "service.version": version})
