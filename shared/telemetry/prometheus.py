"""Metrics as Prometheus reads them: text format 0.0.4. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from shared.telemetry.histogram import Histogram
from shared.telemetry.metrics import Family, prometheus_label

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def rendered(families: Iterable[Family]) -> str:
    """The page of `/metrics`."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    metric = family.metric
    name = metric.prometheus
    labels = [prometheus_label(label) for label in metric.labels]
    yield f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n"
    for values, value in family.samples:
        if isinstance(value, Histogram):
            yield from _buckets(name, labels, values, value)
        else:
            yield f"{name}{_labelled(labels, values)} {_number(value)}\n"


def _buckets(name: str, labels: Sequence[str], values: Sequence[str], histogram: Histogram) -> Iterator[str]:
    counted = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        counted += count
        yield f"{name}_bucket{_labelled([*labels, 'le'], [*values, _number(bound)])} {counted}\n"
    yield f"{name}_sum{_labelled(labels, values)} {_number(histogram.sum)}\n"
    yield f"{name}_count{_labelled(labels, values)} {counted}\n"


def _labelled(labels: Sequence[str], values: Sequence[str]) -> str:
    if not labels:
        return ""
    pairs = (f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:.10g}" if value != int(value) else str(int(value))
