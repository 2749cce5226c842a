"""Spans and metrics leave for a real collector; one that is away, refuses or hangs costs spans and nothing else."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from shared.telemetry import spans as module
from shared.telemetry.batches import BatchSpans
from shared.telemetry.collector import Collector
from shared.telemetry.spans import QUEUE_MAX, Span, Spans, resource_of
from shared.tracing import child_of
from tests.support.waiting import until
from tests.telemetry.receiver import receiving

SAMPLED = f"{child_of('')[:53]}01"


def span(number: int = 0) -> Span:
    return Span("done", "internal", child_of(SAMPLED), SAMPLED, number, number + 1, {"number": number}, (SAMPLED,))


@contextmanager
def exporting(endpoint: str) -> Iterator[Spans]:
    spans = Spans(endpoint, resource_of("order", "1"))
    try:
        yield spans
    finally:
        spans.close(0.0)


async def test_a_span_arrives_as_it_was() -> None:
    with receiving() as collector, exporting(collector.endpoint) as spans:
        sent = span(5)
        spans.put(sent)
        await until(lambda: collector.spans)
        (seen,) = collector.spans
    assert (seen.service, seen.name, seen.start, seen.end) == ("o2c-order", "done", 5, 6)
    assert (seen.trace_id, seen.span_id, seen.parent_id) == (sent.trace[3:35], sent.trace[36:52], SAMPLED[36:52])
    assert (seen.attributes, seen.links) == ({"number": 5}, ((SAMPLED[3:35], SAMPLED[36:52]),))


def test_what_is_left_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY_SECONDS", 60.0)
    with receiving() as collector, exporting(collector.endpoint) as spans:
        spans.put(span())
        spans.close(10.0)
        assert len(collector.spans) == 1


async def test_a_collector_that_refuses_costs_the_spans_and_is_found_again() -> None:
    with receiving() as collector, exporting(collector.endpoint) as spans:
        collector.status = 400
        spans.put(span())
        await until(lambda: spans.failed == 1)
        collector.status = 200
        spans.put(span())
        await until(lambda: spans.exported == 1)
        assert len(collector.spans) == 1


def test_that_a_collector_is_away_or_back_is_said_once() -> None:
    collector = Collector("http://127.0.0.1:4318/", "spans", "/v1/traces")
    assert collector.url == "http://127.0.0.1:4318/v1/traces"

    def send(took: bool | Exception) -> None:
        with collector.asked():
            if isinstance(took, Exception):
                raise took
            collector.took = took

    with capture_logs() as logged:
        for took in (True, False, ValueError("bad"), False, True, True):
            send(took)
    events = [entry["event"] for entry in logged]
    assert events == ["the collector of spans is away", "spans are not exported", "the collector of spans is back"]
    assert logged[1]["error"] == "ValueError: bad"


def test_a_collector_that_hangs_holds_up_neither_work_nor_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and never answers
        spans = Spans(f"http://127.0.0.1:{deaf.getsockname()[1]}", resource_of("order", "1"))
        for number in range(QUEUE_MAX + 2_000):
            spans.put(span(number))
        assert spans.dropped > 0  # the queue has an end
        begun = time.monotonic()
        spans.close(0.2)
        assert time.monotonic() - begun < 2.5  # far less than the exporter's own patience


def test_whatever_is_wrong_with_a_span_does_not_reach_the_engine() -> None:
    class Broken:
        trace = SAMPLED

    with exporting("http://127.0.0.1:9") as spans:
        batches = BatchSpans("order", spans)
        batches.worked([Broken()], 1.0)  # type: ignore[list-item]
        batches.said("topic", [Broken()], 1.0)  # type: ignore[list-item]
