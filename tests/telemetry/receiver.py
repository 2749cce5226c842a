"""A collector of one's own: takes OTLP over HTTP as a real one does, decodes the protobuf, and keeps what came."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.serving import Handler, serving


@dataclass(frozen=True)
class Seen:
    """A span as it arrived. Ids are hexadecimal; `links`: (trace id, span id)."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    faulty: bool


@dataclass
class Received:
    """What has come so far. `status`: with what requests are answered from now on; `metrics`: names → points."""

    endpoint: str = ""
    status: int = 200
    spans: list[Seen] = field(default_factory=list)
    metrics: dict[str, list[Any]] = field(default_factory=dict)
    requests: int = 0

    def of_trace(self, trace_id: str) -> list[Seen]:
        """All spans of one trace so far."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]


@contextmanager
def receiving() -> Iterator[Received]:
    """A collector on a free port, for the length of a block."""
    received = Received()

    class Takes(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.requests += 1
            if received.status == 200:
                _keep(received, self.path, body)
            self.answer(received.status)

    with serving(Takes) as received.endpoint:
        yield received


def _keep(received: Received, path: str, body: bytes) -> None:
    if path == "/v1/traces":
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                received.spans += [_seen(service, span) for span in scope.spans]
    else:
        assert path == "/v1/metrics", path
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    data = getattr(metric, metric.WhichOneof("data"))
                    received.metrics[metric.name] = list(data.data_points)


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code == 2,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
