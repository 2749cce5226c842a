"""One order is one trace, from the request to the paid invoice, across all services; and `/metrics` has counted it."""

import asyncio
import time

import httpx
import pytest

from o2c.stack import SERVICES
from shared.tracing import trace_of
from tests.e2e.system import System, eventually_true
from tests.telemetry.conftest import Carried
from tests.telemetry.receiver import Received, Seen

pytestmark = pytest.mark.e2e

SERVER, PRODUCER, CONSUMER = 2, 4, 5
SETTLED_SECONDS = 3.0
"""Longer than spans wait in a service (`shared.telemetry.spans.DELAY_SECONDS`)."""


@pytest.fixture
async def trace(carried: Carried, collector: Received) -> list[Seen]:
    """All spans of the order's trace, once no more come."""
    trace_id, before, quiet_since = trace_of(carried.order_id), -1, time.monotonic()
    while time.monotonic() - quiet_since < SETTLED_SECONDS:
        if len(collector.of_trace(trace_id)) != before:
            before, quiet_since = len(collector.of_trace(trace_id)), time.monotonic()
        await asyncio.sleep(0.1)
    return collector.of_trace(trace_id)


async def test_the_trace_goes_through_all_services(trace: list[Seen]) -> None:
    assert {span.service for span in trace} == {f"o2c-{name}" for name in SERVICES}


async def test_it_tells_every_stage_in_its_order(trace: list[Seen]) -> None:
    heard: dict[str, int] = {}
    for span in sorted(trace, key=lambda span: span.end):
        if span.kind == CONSUMER:
            heard.setdefault(span.attributes["cloudevents.event_type"], span.end)
    stages = [
        "o2c.order.OrderPlaced.v1",
        "o2c.credit.CreditApproved.v1",
        "o2c.order.OrderConfirmed.v1",
        "o2c.fulfillment.StockReserved.v1",
        "o2c.inbound.Shipment.v1",
        "o2c.fulfillment.Shipped.v1",
        "o2c.billing.Invoiced.v1",
        "o2c.inbound.Payment.v1",
        "o2c.receivables.InvoicePaid.v1",
        "o2c.order.OrderCompleted.v1",
    ]
    assert [stage for stage in heard if stage in stages] == stages


async def test_every_span_hangs_below_the_one_that_asked_for_it(trace: list[Seen]) -> None:
    by_id = {span.span_id: span for span in trace}
    assert len(by_id) == len(trace)
    roots = [span for span in trace if not span.parent_id]
    assert sorted(span.name for span in roots) == [
        "POST /orders",
        "process o2c.inbound.payments",
        "process o2c.inbound.shipments",
    ]
    for span in trace:
        if span.parent_id:
            assert span.parent_id in by_id, span
            assert span.start >= by_id[span.parent_id].start - 5_000_000, span  # the clock is read after the fact


async def test_the_request_is_the_parent_of_its_command(trace: list[Seen]) -> None:
    (request,) = [span for span in trace if span.kind == SERVER]
    (decided,) = [span for span in trace if span.parent_id == request.span_id]
    assert decided.name == "decide PlaceOrder"
    assert request.attributes["http.route"] == "/orders"
    assert request.attributes["http.response.status_code"] in (200, 201)


async def test_batches_have_links_to_all_who_share_them(trace: list[Seen], collector: Received) -> None:
    batches = {(span.trace_id, span.span_id): span for span in collector.spans if span.name == "process batch"}
    heard = [span for span in trace if span.kind == CONSUMER and span.parent_id]
    assert heard
    for span in heard:
        (link,) = span.links
        batch = batches[link]
        assert batch.service == span.service
        assert batch.trace_id != span.trace_id
        assert (span.trace_id, span.parent_id) in batch.links or len(batch.links) == 64


async def test_messages_are_described_by_the_conventions(trace: list[Seen]) -> None:
    for span in trace:
        if span.kind in (PRODUCER, CONSUMER):
            said = span.attributes
            assert said["messaging.system"] == "kafka"
            assert said["messaging.operation.type"] == ("send" if span.kind == PRODUCER else "process")
            assert span.name == f"{said['messaging.operation.name']} {said['messaging.destination.name']}"
            assert said["messaging.message.id"]


async def test_nothing_personal_is_in_a_span(trace: list[Seen], carried: Carried) -> None:
    for span in trace:
        assert f"The {carried.deal.name} company" not in repr(span)


async def test_what_came_unsampled_is_not_recorded(system: System, collector: Received, carried: Carried) -> None:
    unsampled, sampled = "00-" + "a" * 32 + "-" + "b" * 16 + "-00", "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
    for sent in (unsampled, sampled):
        response = await system.clients["order"].get(f"/orders/{carried.order_id}", headers={"traceparent": sent})
        assert response.status_code == 200

    async def arrived() -> bool:
        return bool(collector.of_trace("c" * 32))

    await eventually_true(arrived)
    (span,) = collector.of_trace("c" * 32)
    assert span.parent_id == "d" * 16
    assert collector.of_trace("a" * 32) == []


# ---- metrics


async def page(system: System, service: str) -> dict[str, float]:
    """`/metrics` of a service: series as written → value."""
    response: httpx.Response = await system.clients[service].get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


async def test_the_stages_of_the_order_were_timed(system: System, carried: Carried) -> None:
    found = await page(system, "analytics")
    for stage in ("credit approved", "confirmed", "reserved", "shipped", "invoiced", "paid", "completed"):
        assert found[f'o2c_order_stage_seconds_count{{stage="{stage}"}}'] >= 1


async def test_what_was_done_is_counted(system: System, carried: Carried) -> None:
    found = await page(system, "order")
    status = await system.get("order", "/status")
    assert found["o2c_facts_total"] >= 5
    assert found['o2c_relay_sent_total{said="new"}'] >= 3
    assert found["o2c_consumer_records_total"] >= 5
    assert found['o2c_batch_duration_seconds_count{step="write"}'] > 0
    assert found['o2c_missing{part="store"}'] == 0
    assert found["o2c_relay_leads"] == 1
    assert found['o2c_message_delay_seconds_count{speaker="credit"}'] >= 1
    assert found["o2c_gc_time_seconds_total"] >= 0
    assert status["gc_seconds"] == pytest.approx(found["o2c_gc_time_seconds_total"], abs=1)
    route = 'http_request_method="POST",http_route="/orders",http_response_status_code="201"'
    assert found[f"http_server_request_duration_seconds_count{{{route}}}"] == 1


async def test_a_waiting_order_is_seen_at_its_stage(system: System, carried: Carried) -> None:
    deal = carried.deal
    await system.say(deal.order(2, deal.line(5, 1_000)))
    await deal.reserved(2)

    async def waits() -> bool:
        return (await page(system, "order"))['o2c_orders_waiting{stage="warehouse"}'] == 1

    await eventually_true(waits)
    found = await page(system, "order")
    assert 0 <= found['o2c_orders_waiting_oldest_seconds{stage="warehouse"}'] < 3_600
    assert found['o2c_orders_waiting{stage="payment"}'] == 0


async def test_the_same_metrics_come_by_otlp(system: System, collector: Received, carried: Carried) -> None:
    async def arrived() -> bool:
        return "o2c.order.stage" in collector.metrics and "o2c.facts" in collector.metrics

    await eventually_true(arrived)
    (facts,) = collector.metrics["o2c.facts"]
    assert facts.WhichOneof("value") is not None
    assert sum(point.count for point in collector.metrics["o2c.batch.duration"]) > 0
