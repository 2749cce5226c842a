"""The HTTP faces: problems with every reason, limits, repeats that are harmless, versions, and pages without gaps."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.e2e.deal import Deal
from tests.e2e.system import System, eventually

pytestmark = pytest.mark.e2e

PROBLEM = "application/problem+json"
AT = "2026-03-31T12:00:00"
BAD_BODIES: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    "a payment": (
        "receivables",
        "/payments",
        {"payment_id": "", "customer_id": "C", "amount_minor": -1, "currency": "XX", "value_on": "1066-10-14"},
        {"payment_id", "amount_minor", "currency", "value_on"},
    ),
    "a payment of wrong types": (
        "receivables",
        "/payments",
        {"payment_id": 1, "customer_id": None, "amount_minor": "5", "currency": "EUR", "value_on": 7, "what": 1},
        {"payment_id", "customer_id", "amount_minor", "value_on", "what"},
    ),
    "an order of wrong types": (
        "order",
        "/orders",
        {"customer_id": 7, "currency": None, "lines": [{"sku": "S", "quantity": 1.5, "unit_price_minor": "9"}]},
        {"customer_id", "currency", "lines[0].quantity", "lines[0].unit_price_minor"},
    ),
    "a product": (
        "order",
        "/products",
        {"sku": "a b", "description": "", "unit_price_minor": -1, "currency": "?", "tax_rate_bp": 10_001},
        {"sku", "description", "unit_price_minor", "currency", "tax_rate_bp"},
    ),
    "a shipment": (
        "fulfillment",
        "/shipments",
        {"shipment_id": " ", "order_id": "O\u0000", "shipped_at": AT, "lines": [{"line_no": 0, "quantity": -1}]},
        {"shipment_id", "order_id", "shipped_at", "lines[0].line_no", "lines[0].quantity"},
    ),
    "a receipt": (
        "fulfillment",
        "/receipts",
        {"receipt_id": "R", "sku": "S", "quantity": 10**12},
        {"quantity"},
    ),
    "a hold": ("credit", "/credit-accounts/C-1/hold", {"reason": "", "more": 1}, {"reason", "more"}),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_answered_with_every_reason(system: System, name: str) -> None:
    service, path, body, fields = BAD_BODIES[name]
    answer = await system.post(service, path, body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), answer.text
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (422, "invalid")
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["code"] and error["message"] for error in problem["errors"])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b"null", b'"text"'])
async def test_a_body_that_is_no_object_is_a_problem_too(system: System, content: bytes) -> None:
    for service, path in (("order", "/orders"), ("receivables", "/payments"), ("fulfillment", "/shipments")):
        headers = {"content-type": "application/json"}
        answer = await system.clients[service].post(path, content=content, headers=headers)
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == PROBLEM


async def test_what_is_not_there_is_a_problem_at_every_service(system: System) -> None:
    missing = {
        "order": "/orders/none",
        "credit": "/credit-accounts/none",
        "fulfillment": "/fulfillments/none",
        "billing": "/invoices/none",
        "receivables": "/payments/none",
        "analytics": "/no/such/path",
    }
    for service, path in missing.items():
        answer = await system.clients[service].get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM), (service, answer.text)
        assert answer.json()["status"] == 404


async def test_a_body_over_the_limit_is_refused_whether_or_not_its_length_is_told(system: System) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    for service in system.clients:
        path = {"order": "/orders", "receivables": "/payments", "fulfillment": "/shipments"}.get(service, "/replay")
        told = await system.clients[service].post(path, content=b" " * 2_000_000)
        assert (told.status_code, told.headers["content-type"], told.json()["code"]) == (413, PROBLEM, "too_large")
    for service, path in (("order", "/orders"), ("receivables", "/payments"), ("fulfillment", "/shipments")):
        untold = await system.clients[service].post(path, content=endless())
        assert (untold.status_code, untold.json()["code"]) == (413, "too_large")


async def test_fifty_identical_orders_sent_at_once_are_one_order(system: System, deal: Deal) -> None:
    await deal.begins()
    body = msgspec.to_builtins(deal.order())
    answers = await asyncio.gather(*(system.post("order", "/orders", body) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    await deal.reserved()
    await deal.ends_as(
        orders={deal.order_id(): ("confirmed", "reserved")},
        exposure=12_000,
        reserved=12_000,
        stock={deal.sku(): (100, 10, 0)},
    )
    other = await system.post("order", "/orders", {**body, "payment_terms_days": 14})
    assert (other.status_code, other.headers["content-type"]) == (409, PROBLEM)


async def test_an_idempotency_key_names_an_order_that_has_no_id(system: System, deal: Deal) -> None:
    await deal.begins()
    body = msgspec.to_builtins(deal.order())
    del body["order_id"], body["placed_at"]

    async def post(**changes: Any) -> httpx.Response:
        return await system.post("order", "/orders", {**body, **changes}, Idempotency_Key=f"key {deal.name}")

    answers = await asyncio.gather(*(post() for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["order_id"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert (await post(currency="USD")).status_code == 409
    assert len(await system.pages("order", "/orders", customer_id=deal.customer_id)) == 1
    without = [await system.post("order", "/orders", body) for _ in range(2)]
    assert [answer.status_code for answer in without] == [201, 201]
    assert len(await system.pages("order", "/orders", customer_id=deal.customer_id)) == 3


async def test_a_change_is_refused_when_things_changed_since_they_were_read(system: System, deal: Deal) -> None:
    await deal.begins()
    placed = await system.post("order", "/orders", msgspec.to_builtins(deal.order()))
    first = placed.headers["ETag"]
    await deal.reserved()
    path = f"/orders/{deal.order_id()}/cancel"
    stale = await system.post("order", path, {"reason": "too late"}, If_Match=first)
    assert (stale.status_code, stale.headers["content-type"]) == (412, PROBLEM)
    nonsense = await system.post("order", path, {"reason": "what"}, If_Match='"x"')
    assert (nonsense.status_code, nonsense.json()["errors"][0]["field"]) == (422, "If-Match")
    await deal.order_shows(status="confirmed")
    seen = await deal.etag("order", f"/orders/{deal.order_id()}")
    answers = await asyncio.gather(*(system.post("order", path, {"reason": "now"}, If_Match=seen) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 9}
    await deal.order_shows(status="cancelled")


async def test_pages_have_every_order_once_in_their_order_while_more_come_in(system: System, deal: Deal) -> None:
    await system.say(*(deal.order(number) for number in range(1, 8)))
    mine = {"customer_id": deal.customer_id}

    async def count() -> int:
        return len(await system.pages("order", "/orders", **mine))

    await eventually(count, 7)
    page = await system.get("order", "/orders", limit=3, **mine)
    await system.say(*(deal.order(number) for number in range(8, 10)))
    await eventually(count, 9)
    seen = list(page["items"])
    while page["next"]:
        page = await system.get("order", "/orders", limit=3, cursor=page["next"], **mine)
        seen += page["items"]
    ids = [item["order_id"] for item in seen]
    assert ids == sorted(set(ids), reverse=True)
    assert set(ids) >= {deal.order_id(number) for number in range(1, 8)}
    for cursor in ("nonsense", "WzFd", "AAAA"):
        answer = await system.clients["order"].get("/orders", params={"cursor": cursor, **mine})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")
    for limit in (0, 501, "many"):
        answer = await system.clients["order"].get("/orders", params={"limit": limit})
        assert answer.status_code == 422
