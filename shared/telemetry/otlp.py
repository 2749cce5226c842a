"""The same metrics by OTLP over HTTP, pushed at intervals; an exporter that is away loses them, and nothing else."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as points
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from shared.telemetry.collector import SEND_SECONDS_MAX, Collector
from shared.telemetry.histogram import Histogram
from shared.telemetry.metrics import Family

_SCOPE = InstrumentationScope("o2c")


async def push(
    endpoint: str, resource: Any, families: Callable[[], Awaitable[list[Family]]], *, seconds: float
) -> None:
    """Send all metrics every so many seconds; ends only by cancellation."""
    collector, begun = Collector(endpoint, "metrics", "/v1/metrics"), time.time_ns()
    exporter = OTLPMetricExporter(endpoint=collector.url, timeout=SEND_SECONDS_MAX)
    try:
        while True:
            await asyncio.sleep(seconds)
            with collector.asked():
                data = data_of(await families(), resource, begun, time.time_ns())
                collector.took = await asyncio.to_thread(exporter.export, data) is MetricExportResult.SUCCESS
    finally:
        exporter.shutdown(timeout_millis=0)


def data_of(families: Iterable[Family], resource: Any, begun: int, now: int) -> points.MetricsData:
    """Families as the SDK's exporters take them. `begun`, `now`: nanoseconds since 1970."""
    metrics = [_metric(family, begun, now) for family in families if family.samples]
    scoped = points.ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url="")
    return points.MetricsData([points.ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")])


def _metric(family: Family, begun: int, now: int) -> points.Metric:
    metric = family.metric
    data: Any
    if metric.kind == "histogram":
        data = points.Histogram(
            [_distribution(family, labels, value, begun, now) for labels, value in family.samples],
            AggregationTemporality.CUMULATIVE,
        )
    else:
        numbers = [
            points.NumberDataPoint(_attributes(family, labels), begun, now, value)  # type: ignore[arg-type]
            for labels, value in family.samples
        ]
        if metric.kind == "counter":
            data = points.Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        else:
            data = points.Gauge(numbers)
    return points.Metric(name=metric.name, description=metric.help, unit=metric.unit, data=data)


def _attributes(family: Family, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(family.metric.labels, labels, strict=True))


def _distribution(family: Family, labels: tuple[str, ...], value: Any, begun: int, now: int) -> Any:
    assert isinstance(value, Histogram)
    return points.HistogramDataPoint(
        attributes=_attributes(family, labels),
        start_time_unix_nano=begun,
        time_unix_nano=now,
        count=value.count,
        sum=value.sum,
        bucket_counts=list(value.counts),
        explicit_bounds=value.bounds,
        min=None,  # type: ignore[arg-type]  # not known, which the protocol allows
        max=None,  # type: ignore[arg-type]
    )
