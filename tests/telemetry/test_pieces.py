"""Contexts, sampling, histograms, the page of `/metrics`, requests, stages: the parts without any process."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from shared.eventsourced.reading import Attributes, Received
from shared.telemetry.gauges import Gauge, Kept, families_of
from shared.telemetry.histogram import Histogram
from shared.telemetry.metrics import Family, Metric, of
from shared.telemetry.prometheus import rendered
from shared.telemetry.requests import RequestFigures, Requests
from shared.telemetry.stages import SAID_SECONDS_MAX, Delays, Stages
from shared.tracing import REQUEST, Request, caller, child_of, is_sampled, sample, trace_of, traceparent_of

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(autouse=True)
def _unsampled_again() -> Any:
    yield
    sample(0.0)


# ---- contexts


def test_work_on_one_order_is_one_trace_whoever_begins() -> None:
    shop, warehouse = child_of("", "O-1"), child_of("", "O-1")
    assert shop[3:35] == warehouse[3:35] == trace_of("O-1")
    assert shop[36:52] != warehouse[36:52]
    assert trace_of("O-2") != trace_of("O-1")


def test_without_an_order_every_trace_is_another() -> None:
    assert child_of("")[3:35] != child_of("")[3:35]


def test_the_callers_decision_to_sample_is_kept() -> None:
    sample(0.0)
    assert is_sampled(child_of(PARENT))
    sample(1.0)
    assert not is_sampled(child_of(f"{PARENT[:53]}00"))
    assert not is_sampled("")


@pytest.mark.parametrize(
    "value",
    [None, b"", b"00", b"ff" + PARENT[2:].encode(), PARENT.upper().encode(), f"00-{'0' * 32}{PARENT[35:]}".encode()],
)
def test_what_is_no_trace_context_is_ignored(value: bytes | None) -> None:
    assert traceparent_of(PARENT.encode()) == PARENT
    assert traceparent_of(value) == ""


@given(st.integers(0, 100))
def test_a_share_of_the_traces_that_begin_here_is_sampled(percent: int) -> None:
    sample(percent / 100)
    sampled = sum(is_sampled(child_of("", f"O-{n}")) for n in range(2_000))
    assert abs(sampled / 2_000 - percent / 100) < 0.06  # 2,000 fixed ids: the same at every run


def test_a_command_belongs_to_the_request_in_which_it_is_asked_for() -> None:
    request = Request()
    token = REQUEST.set(request)
    try:
        first = caller("", "O-1")
        assert first == request.trace == caller("", "O-2")
        assert first[3:35] == trace_of("O-1")
        assert caller(PARENT, "O-1") == PARENT
    finally:
        REQUEST.reset(token)
    assert caller("", "O-1") == ""


# ---- figures


def test_a_value_counts_at_the_first_bound_that_holds_it() -> None:
    histogram = Histogram((1, 2, 5))
    for value in (0, 1, 1.5, 5, 6):
        histogram.add(value)
    histogram.add(2, weight=10)
    assert histogram.counts == [2, 11, 1, 1]
    assert (histogram.count, histogram.sum) == (15, 33.5)


def test_the_page_is_as_prometheus_reads_it() -> None:
    seconds = Histogram((0.25, 1))
    seconds.add(0.2)
    seconds.add(3)
    taken = Metric("o2c.taken", "histogram", "s", "How long", ("who",))
    families = [
        of(Metric("o2c.done", "counter", "{thing}", "How many"), 3),
        of(Metric("o2c.unknown", "gauge", "", "Not known now"), None),
        Family(taken, [(('a"b\\\n',), seconds)]),
    ]
    assert rendered(families) == (
        "# HELP o2c_done_total How many\n# TYPE o2c_done_total counter\no2c_done_total 3\n"
        "# HELP o2c_taken_seconds How long\n# TYPE o2c_taken_seconds histogram\n"
        'o2c_taken_seconds_bucket{who="a\\"b\\\\\\n",le="0.25"} 1\n'
        'o2c_taken_seconds_bucket{who="a\\"b\\\\\\n",le="1"} 1\n'
        'o2c_taken_seconds_bucket{who="a\\"b\\\\\\n",le="+Inf"} 2\n'
        'o2c_taken_seconds_sum{who="a\\"b\\\\\\n"} 3.2\n'
        'o2c_taken_seconds_count{who="a\\"b\\\\\\n"} 2\n'
    )


def test_a_gauge_says_zero_for_what_has_no_row_and_nothing_for_null() -> None:
    waiting = Metric("o2c.waiting", "gauge", "", "How many", ("stage",))
    oldest = Metric("o2c.oldest", "gauge", "s", "How long", ("stage",))
    gauge = Gauge((waiting, oldest), "", (("stock",), ("credit",)))
    counted, aged = families_of(gauge, [("stock", 2, None), ("other", 1, 5)])
    assert counted.samples == [(("stock",), 2.0), (("other",), 1.0), (("credit",), 0.0)]
    assert dict(aged.samples) == {("other",): 5.0, ("stock",): 0.0, ("credit",): 0.0}


# ---- what is asked of the store


async def test_many_who_scrape_ask_once() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return asked

    kept = Kept(ask, 0)
    assert await asyncio.gather(kept(), kept(), kept()) == [1, 1, 1]
    assert await kept() == 1


async def test_a_store_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.telemetry.gauges.ASK_SECONDS_MAX", 0.05)
    hanging, asked = asyncio.Event(), 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await hanging.wait()
        return "there"

    kept = Kept(ask, "missing")
    assert await kept() == "missing"
    assert await kept() == "missing"
    assert asked == 1
    hanging.set()
    await asyncio.sleep(0.01)
    assert await kept() == "there"


async def test_a_store_that_refuses_is_asked_again() -> None:
    async def ask() -> str:
        raise OSError("away")

    kept = Kept(ask, "missing")
    assert await kept() == await kept() == "missing"


# ---- requests


def application(figures: RequestFigures, spans: Any = None) -> Any:
    app = FastAPI()

    @app.get("/orders/{order_id}")
    async def order(order_id: str) -> dict[str, str]:
        if order_id == "bug":
            raise RuntimeError(order_id)
        return {"trace": caller("", order_id)}

    return Requests(app, figures, spans)


def client_of(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    figures = RequestFigures()
    async with client_of(application(figures)) as client:
        for path in ("/orders/1", "/orders/2", "/orders/bug", "/made/up/1", "/made/up/2"):
            await client.get(path)
        await client.request("BREW", "/orders/1")
    assert {key: histogram.count for key, histogram in figures.seconds.items()} == {
        ("GET", "/orders/{order_id}", "200"): 2,
        ("GET", "/orders/{order_id}", "500"): 1,
        ("GET", "", "404"): 2,
        ("_OTHER", "/orders/{order_id}", "405"): 1,
    }
    assert figures.active == 0


async def test_a_sampled_request_has_a_span_and_an_unsampled_one_has_none() -> None:
    spans: list[Any] = []
    app = application(RequestFigures(), SimpleNamespace(put=spans.append))
    async with client_of(app) as client:
        await client.get("/orders/1", headers={"traceparent": f"{PARENT[:53]}00"})
        await client.get("/orders/1", headers={"traceparent": "00-no"})
        assert spans == []
        sample(1.0)
        own = (await client.get("/orders/O-1")).json()["trace"]
    (span,) = spans
    assert span.trace == own
    assert own[3:35] == trace_of("O-1")
    assert (span.name, span.parent) == ("GET /orders/{order_id}", "")


async def test_what_is_logged_of_a_request_that_raised_has_its_trace() -> None:
    async def raising(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("ours")

    scope = {"type": "http", "method": "GET", "path": "/orders/1", "headers": [(b"traceparent", PARENT.encode())]}
    with pytest.raises(ValueError, match="ours"):
        await Requests(raising, RequestFigures(), SimpleNamespace(put=print))(scope, None, None)  # type: ignore[arg-type]
    request = REQUEST.get()  # as the server finds it, in the task of the request
    assert request is not None
    assert request.trace[3:35] == PARENT[3:35]
    REQUEST.set(None)


# ---- on the way


def message(kind: str, second: int, order_id: str = "O-1", speaker: str = "order") -> Received:
    said = Attributes(subject=order_id.encode(), time=f"2026-03-31T12:00:{second:02}Z".encode())
    return Received(SimpleNamespace(timestamp=0), said, b"", 0, type=f"o2c.{kind}.v1", speaker=speaker)


def noon() -> float:
    return datetime(2026, 3, 31, 12, 1, tzinfo=UTC).timestamp()


def test_what_a_rebuild_hears_again_says_nothing_of_how_fast_we_are_now() -> None:
    stages = Stages(lambda: noon() + SAID_SECONDS_MAX)
    stages.heard([message("order.OrderPlaced", 0), message("order.OrderConfirmed", 7)])
    assert stages.seconds["confirmed"].count == 0


def test_an_order_is_timed_once_per_stage() -> None:
    stages = Stages(noon)
    confirmed = message("order.OrderConfirmed", 7)
    stages.heard([confirmed, message("order.OrderPlaced", 5), message("billing.Invoiced", 9)])
    stages.heard([confirmed, message("billing.Invoiced", 30), message("billing.Invoiced", 9, "O-unknown")])
    assert (stages.seconds["confirmed"].count, stages.seconds["confirmed"].sum) == (1, 2)
    assert (stages.seconds["invoiced"].count, stages.seconds["invoiced"].sum) == (1, 4)


def test_an_order_that_people_looked_at_says_nothing_of_how_fast_we_are() -> None:
    stages = Stages(noon)
    stages.heard([message("order.OrderPlaced", 0), message("order.OrderHeld", 1)])
    stages.heard([message("order.OrderConfirmed", 50), message("fulfillment.Shipped", 55)])
    assert stages.seconds["confirmed"].count == 0
    assert stages.seconds["shipped"].count == 1


def test_only_so_many_orders_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.telemetry.stages.ORDERS_MAX", 10)
    stages = Stages(noon)
    stages.heard([message("order.OrderPlaced", 0, f"O-{n}") for n in range(10 + 5)])
    stages.heard([message("order.OrderConfirmed", 1, f"O-{n}") for n in (0, 4, 5, 10)])
    assert stages.seconds["confirmed"].count == 2


def test_delays_are_by_speaker_and_the_clock_of_strangers_is_not_believed() -> None:
    delays = Delays()
    delays.heard(
        [message("order.OrderPlaced", 0), message("order.OrderPlaced", 0), message("inbound.Order", 0, speaker="")]
    )
    assert {speaker: histogram.count for speaker, histogram in delays.by_speaker.items()} == {"order": 2, "inbound": 1}
    assert delays.by_speaker["inbound"].sum > delays.by_speaker["order"].sum / 2


# ---- logs


def test_every_line_is_json_with_the_trace_of_its_request() -> None:
    code = (
        "import logging, structlog\n"
        "from shared.frame.logs import configure_logs\n"
        "from shared.tracing import REQUEST, Request\n"
        "configure_logs('order', 'INFO')\n"
        f"REQUEST.set(Request('{PARENT}'))\n"
        "structlog.get_logger().info('ours', count=1)\n"
        "logging.getLogger('asyncio').warning(\"theirs '%s' \\\"x\\\"\", 'y')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, theirs = map(json.loads, done.stderr.splitlines())
    assert (ours["event"], ours["count"], ours["service"], ours["trace_id"]) == ("ours", 1, "order", "a" * 32)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("theirs 'y' \"x\"", "asyncio", "warning")
    assert theirs["span_id"] == "b" * 16
