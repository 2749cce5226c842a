"""The routes of orders, customers and products, over a command bus in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.order.api import routes
from services.order.domain.order_facts import OrderRejected
from tests.memory_commands import MemoryCommands
from tests.order.samples import (
    CONFIRMED,
    CREDITED,
    HELD,
    INVOICED,
    PAID,
    PLACED,
    REQUESTED,
    SHIPPED,
    C,
    O,
)
from tests.support.routes import client_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY: dict[str, Any] = {
    "order_id": O,
    "customer_id": C,
    "currency": "EUR",
    "lines": [
        {"sku": "SKU-1", "quantity": 2, "unit_price_minor": 1000, "tax_rate_bp": 2000},
        {"sku": "SKU-2", "quantity": 5, "unit_price_minor": 100},
    ],
    "placed_at": "2026-03-31T12:00:00Z",
    "ship_complete": True,
}
ANONYMOUS = {k: v for k, v in BODY.items() if k not in ("order_id", "placed_at")}


@pytest.fixture
def commands() -> MemoryCommands:
    return MemoryCommands()


@pytest.fixture
async def client(commands: MemoryCommands) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(routes, commands) as client:
        yield client


async def test_a_new_order_is_created_and_its_repeat_is_not(
    client: httpx.AsyncClient, commands: MemoryCommands
) -> None:
    first = await client.post("/orders", json=BODY, headers={"traceparent": TRACE})
    assert (first.status_code, first.headers["location"], first.headers["etag"]) == (201, "/orders/O-1", '"1"')
    assert (first.json()["status"], first.json()["total_minor"]) == ("placed", 2_900)
    assert commands.streams["order-O-1"] == [PLACED]
    assert commands.executed[-1][1:] == (O, TRACE)
    again = await client.post("/orders", json={**BODY, "placed_at": "2026-03-31T14:00:00+02:00"})
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, first.json(), '"1"')
    assert commands.streams["order-O-1"] == [PLACED]


async def test_the_same_id_with_other_content_is_a_conflict(client: httpx.AsyncClient) -> None:
    await client.post("/orders", json=BODY)
    answer = await client.post("/orders", json={**BODY, "currency": "GBP"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_an_idempotency_key_stands_for_an_id(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    """Rule 33: the same key and body give the same order, another body is a conflict."""
    headers = {"Idempotency-Key": "key 1"}
    first = await client.post("/orders", json=ANONYMOUS, headers=headers)
    again = await client.post("/orders", json=ANONYMOUS, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["order_id"] == again.json()["order_id"]
    assert first.json()["placed_at"] == again.json()["placed_at"]
    assert len(commands.streams) == 1
    other = await client.post("/orders", json={**ANONYMOUS, "prepaid": True}, headers=headers)
    assert other.status_code == 409


async def test_the_id_of_a_key_never_changes(client: httpx.AsyncClient) -> None:
    answer = await client.post("/orders", json=ANONYMOUS, headers={"Idempotency-Key": "golden"})
    assert answer.json()["order_id"] == "eef9038c-85c9-5320-89df-570b1511d94d"


async def test_without_id_and_key_every_request_is_an_order_of_its_own(client: httpx.AsyncClient) -> None:
    ids = {(await client.post("/orders", json=ANONYMOUS)).json()["order_id"] for _ in range(3)}
    assert len(ids) == 3


async def test_an_order_without_an_instant_was_placed_when_it_arrived(client: httpx.AsyncClient) -> None:
    before = datetime.now(UTC)
    answer = await client.post("/orders", json=ANONYMOUS)
    assert before <= datetime.fromisoformat(answer.json()["placed_at"]) <= datetime.now(UTC)


async def test_an_invalid_order_is_refused_with_every_reason_and_nothing_stored(
    client: httpx.AsyncClient, commands: MemoryCommands
) -> None:
    bad = {
        **BODY,
        "order_id": "a/b",
        "currency": "XXX",
        "placed_at": "2026-03-31T12:00:00",
        "lines": [{"sku": "S", "quantity": 0, "unit_price_minor": 10**40}],
    }
    answer = await client.post("/orders", json=bad)
    assert answer.status_code == 422
    assert {(e["field"], e["code"]) for e in answer.json()["errors"]} == {
        ("order_id", "id"),
        ("currency", "currency"),
        ("placed_at", "no_zone"),
        ("lines[0].quantity", "out_of_range"),
        ("lines[0].unit_price_minor", "out_of_range"),
    }
    assert not commands.streams


@pytest.mark.parametrize(
    "change",
    [
        {"lines": [{"sku": "S", "quantity": "1", "unit_price_minor": 1}]},
        {"lines": [{"sku": "S", "quantity": 1.0, "unit_price_minor": 1}]},
        {"lines": [{"sku": "S", "quantity": True, "unit_price_minor": 1}]},
        {"lines": [{"sku": "S", "quantity": 1, "unit_price_minor": 1, "tax_rate": 5}]},
        {"prepaid": "yes"},
        {"ship_completely": True},
        {"customer_id": None},
    ],
)
async def test_a_body_of_another_shape_is_refused(client: httpx.AsyncClient, change: dict[str, Any]) -> None:
    assert (await client.post("/orders", json={**BODY, **change})).status_code == 422


async def test_half_a_surrogate_is_refused(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    headers = {"content-type": "application/json"}
    commands.streams["order-O-1"] = [PLACED]
    for path in ("/orders/O-1/cancel", "/orders/O-1/reject"):
        body = b'{"reason": "\\ud800"}' if "cancel" in path else b'{"reasons": ["\\ud800"]}'
        assert (await client.post(path, content=body, headers=headers)).status_code == 422


async def test_an_order_shows_everything_that_happened(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    commands.streams["order-O-1"] = [PLACED, CONFIRMED, SHIPPED, INVOICED, CREDITED]
    answer = await client.get("/orders/O-1")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"5"')
    order = answer.json()
    assert [line["shipped"] for line in order["lines"]] == [2, 5]
    assert order["shipments"] == [{"shipment_id": "S-1", "shipped_at": "2026-03-31T12:00:00Z"}]
    (invoice,) = order["invoices"]
    assert (invoice["number"], invoice["issued"], invoice["paid"]) == ("INV-2026-000001", True, False)
    assert order["credit_notes"] == ["CRN-2026-000001"]


async def test_a_payment_heard_before_its_invoice_is_shown_as_such(
    client: httpx.AsyncClient, commands: MemoryCommands
) -> None:
    commands.streams["order-O-1"] = [PLACED, CONFIRMED, PAID]
    shown = (await client.get("/orders/O-1")).json()
    (invoice,) = shown["invoices"]
    assert (invoice["issued"], invoice["paid"]) == (False, True)
    assert (shown["settled_minor"], shown["paid_minor"]) == (2_900, 2_900)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/orders/O-9", None),
        ("POST", "/orders/O-9/cancel", {"reason": "x"}),
        ("POST", "/orders/O-9/reject", {"reasons": ["x"]}),
        ("GET", "/customers/C-9", None),
        ("GET", "/products/S-9", None),
        ("PUT", "/products/S-9/price", {"unit_price_minor": 1, "currency": "EUR"}),
    ],
)
async def test_what_does_not_exist_is_not_found(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    assert (await client.request(method, path, json=body)).status_code == 404


@pytest.mark.parametrize("path", ["/orders/a%00b", "/customers/a%20b", "/products/%C3%A4", "/orders?customer_id=a%00"])
async def test_what_cannot_be_an_id_is_refused_before_anything_is_asked(
    client: httpx.AsyncClient, commands: MemoryCommands, path: str
) -> None:
    assert (await client.get(path)).status_code == 422
    assert not commands.asked


async def test_cancelling_before_and_after_confirmation(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    commands.streams["order-O-1"] = [PLACED]
    answer = await client.post("/orders/O-1/cancel", json={"reason": "Ordered twice"})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    commands.streams["order-O-1"] = [PLACED, CONFIRMED]
    answer = await client.post("/orders/O-1/cancel", json={"reason": "Ordered twice"}, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
    assert commands.streams["order-O-1"][-1] == REQUESTED
    commands.streams["order-O-1"] = [PLACED, CONFIRMED, SHIPPED]
    answer = await client.post("/orders/O-1/cancel", json={"reason": "Ordered twice"})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_shipped")


async def test_only_a_held_order_is_rejected(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    commands.streams["order-O-1"] = [PLACED]
    answer = await client.post("/orders/O-1/reject", json={"reasons": ["a", "b"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_held")
    commands.streams["order-O-1"].append(HELD)
    stale = await client.post("/orders/O-1/reject", json={"reasons": ["a"]}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    answer = await client.post("/orders/O-1/reject", json={"reasons": ["a", "b"]})
    assert (answer.status_code, answer.json()["reason"]) == (200, "a; b")
    assert commands.streams["order-O-1"][-1] == OrderRejected(O, C, ("a", "b"))


@pytest.mark.parametrize("reasons", [[], [""], ["x" * 501], ["\x00"], ["x"] * 21])
async def test_a_rejection_needs_readable_reasons(
    client: httpx.AsyncClient, commands: MemoryCommands, reasons: list[str]
) -> None:
    commands.streams["order-O-1"] = [PLACED, HELD]
    assert (await client.post("/orders/O-1/reject", json={"reasons": reasons})).status_code == 422


ROW = {
    "customer_id": C,
    "status": "placed",
    "reason": "",
    "currency": "EUR",
    "total_minor": 5,
    "line_count": 1,
    "prepaid": False,
    "placed_at": datetime(2026, 3, 31, 12, tzinfo=UTC),
    "confirmed_at": None,
    "allocation": "",
    "shipments": 0,
    "shipped_fully": False,
    "invoices_open": 0,
    "invoiced_fully": False,
    "invoiced_minor": 0,
    "settled_minor": 0,
    "paid_minor": 0,
    "credited_minor": 0,
}


async def test_orders_are_paged_by_a_cursor_and_filtered(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    commands.rows = [{"order_id": f"O-{n}", **ROW} for n in range(3)]
    first = (await client.get("/orders", params={"limit": 2})).json()
    assert [item["order_id"] for item in first["items"]] == ["O-0", "O-1"]
    assert "WHERE" not in commands.asked[-1][0]
    query = {"limit": 2, "cursor": first["next"], "status": "held", "customer_id": C}
    commands.rows = commands.rows[:1]
    last = (await client.get("/orders", params=query)).json()
    assert last["next"] is None
    sql, args = commands.asked[-1]
    assert "WHERE (placed_at, order_id) < ($2, $3) AND status = $4 AND customer_id = $5" in sql
    assert args == (3, ROW["placed_at"], "O-1", "held", C)


@pytest.mark.parametrize(
    "query", [{"status": "lost"}, {"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "WyJ4IiwieSJd"}]
)
async def test_a_question_that_makes_no_sense_is_refused(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    assert (await client.get("/orders", params=query)).status_code == 422


async def test_a_customer_is_registered_then_changed(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    ada = {"name": "Ada", "country": "GB", "currency": "EUR", "payment_terms_days": 14}
    first = await client.put("/customers/C-1", json=ada)
    assert (first.status_code, first.headers["etag"]) == (201, '"1"')
    again = await client.put("/customers/C-1", json=ada)
    assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    changed = await client.put("/customers/C-1", json={**ada, "name": "Bob"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (await client.get("/customers/C-1")).json() == {**ada, "name": "Bob", "customer_id": "C-1"}
    bad = await client.put("/customers/C-1", json={**ada, "name": "", "country": "XXX"})
    assert {e["field"] for e in bad.json()["errors"]} == {"name", "country"}
    assert len(commands.streams["customer-C-1"]) == 2


async def test_a_product_is_listed_and_its_price_changes(client: httpx.AsyncClient) -> None:
    engine = {"sku": "S", "description": "Engine", "unit_price_minor": 5, "currency": "EUR", "tax_rate_bp": 2000}
    first = await client.post("/products", json=engine)
    assert (first.status_code, first.headers["location"]) == (201, "/products/S")
    assert (await client.post("/products", json=engine)).status_code == 200
    assert (await client.post("/products", json={**engine, "tax_rate_bp": 0})).status_code == 409
    price = {"unit_price_minor": 7, "currency": "EUR"}
    changed = await client.put("/products/S/price", json=price, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()) == (200, {**engine, "unit_price_minor": 7})
    assert (await client.put("/products/S/price", json=price, headers={"If-Match": '"1"'})).status_code == 412
    assert (await client.get("/products/S")).json() == {**engine, "unit_price_minor": 7}
    bad = await client.put("/products/S/price", json={"unit_price_minor": -1, "currency": "X"})
    assert {e["field"] for e in bad.json()["errors"]} == {"unit_price_minor", "currency"}
