"""A system with a history, and for each operation requests that can succeed in it.

Some fifty orders are played to their ends, a third of them paid short and a third with too much; others are left where
a person has to decide. What is named here is named once: no request takes away what another one needs, and customers
whose accounts are decided on have nothing to do with the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from types import MappingProxyType
from typing import Any

from o2c.bench.orders import Mix, generate, registered
from o2c.outside.clerk import Clerk
from o2c.outside.plan import Kind
from o2c.outside.world import Course, World
from o2c.services import Services
from shared.contracts.catalogue import SPEAKERS
from tests.e2e.system import System, eventually_true

Request = Mapping[str, Any]
"""What of a request is known, by where it is: `path`, `query` and `body`, each name → value.

`seen_at`: the path of what is decided on; the ETag that it has by then is the request's If-Match.
"""
Requests = Mapping[str, Sequence[Request]]
"""Operation ("GET /orders") → requests that can succeed."""

SEED = 3
ORDERS = 50
SHARES: Mapping[Kind, int] = MappingProxyType(
    {Kind.SHORT: 3_000, Kind.OVER: 3_000, Kind.TWO_PARTS: 1_000, Kind.WRONG_REFERENCE: 500, Kind.PREPAID: 500}
)
LATE_BP = 1_000
PLAY_SECONDS_MAX = 60.0
MIX = Mix(tuple(f"KNOWN-C{n}" for n in range(4)), tuple(f"KNOWN-S{n}" for n in range(20)), lines=2)
CURRENCY = "GBP"
EACH = 4
"""Of whatever can be used up, at least so many."""
LETTERS = 6
OPEN, PART = "KNOWN-OPEN", "KNOWN-PART"
"""A customer whose orders wait to be shipped, and their article."""
CANCELLED, REJECTED, APPROVED, DECLINED = (
    f"KNOWN-{what}" for what in ("CANCELLED", "REJECTED", "APPROVED", "DECLINED")
)
HELD = (CANCELLED, REJECTED, APPROVED, DECLINED)
"""Customers without credit, by what a person will do with their orders."""


async def play(system: System) -> Mapping[str, Requests]:
    """Have it all happen; service → what is known of it then."""
    world = World(
        registered(MIX),
        generate(ORDERS, seed=SEED, mix=MIX),
        Course(SEED, SHARES, LATE_BP, in_flight_max=ORDERS, from_beginning=False),
    )
    async with Services(system.http_urls) as services:
        world.clerk = Clerk(services)
        assert await world.run(system.kafka_servers, seconds_max=PLAY_SECONDS_MAX), world.progress.missing()
    await _leave_orders_waiting(system)
    await _send_nonsense(system)
    await system.rests()
    played = _Played(system, world)
    returns = await played.returns()
    await system.rests()
    return {
        "order": played.order(),
        "credit": played.credit(),
        "fulfillment": await played.fulfillment(returns),
        "billing": await played.billing(),
        "receivables": await played.receivables(),
        "analytics": await played.analytics(),
    }


async def _leave_orders_waiting(system: System) -> None:
    """Orders that are held, and orders that could be shipped."""
    master = {"name": "Known", "country": "GB", "currency": CURRENCY}
    for customer_id in (OPEN, *HELD):
        assert (await system.clients["order"].put(f"/customers/{customer_id}", json=master)).is_success
    for sku in (PART, MIX.skus[0]):
        product = {"sku": sku, "description": "Known", "unit_price_minor": 100, "currency": CURRENCY}
        await system.done("order", "/products", product)
    await system.done("fulfillment", "/receipts", {"receipt_id": "KNOWN-R1", "sku": PART, "quantity": 1_000})
    for customer_id in HELD:
        path = f"/credit-accounts/{customer_id}/limit"

        async def has_no_credit(path: str = path) -> bool:
            return (await system.clients["credit"].put(path, json={"limit_minor": 0})).is_success

        await eventually_true(has_no_credit)
    for customer_id in (OPEN, *HELD):
        for order_id in _orders_of(customer_id):
            lines = [{"sku": PART, "quantity": 20, "unit_price_minor": 100}]
            order = {"order_id": order_id, "customer_id": customer_id, "currency": CURRENCY, "lines": lines}
            await system.done("order", "/orders", order)


def _orders_of(customer_id: str) -> list[str]:
    return [f"{customer_id}-{n}" for n in range(EACH)]


async def _send_nonsense(system: System) -> None:
    """Records without a place in what was said: a dead letter each with all who listen."""
    for n in range(LETTERS):
        await system.send(SPEAKERS["order"].topic, b"{}", [("ce_type", b"Nonsense")], b"KNOWN-%d" % n)


def _request(
    path: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    seen_at: str = "",
) -> Request:
    given = {"path": path, "query": query, "body": body, "seen_at": seen_at}
    return {place: known for place, known in given.items() if known}


def _with(place: str, name: str, values: Sequence[Any]) -> list[Request]:
    return [{place: {name: value}} for value in values]


@dataclass
class _Played:
    """What there is now, as requests."""

    system: System
    world: World

    def __post_init__(self) -> None:
        self.customers = MIX.customer_ids
        self.completed = sorted(self.world.progress.completed)
        assert len(self.completed) >= 4 * EACH, self.completed

    async def returns(self) -> list[tuple[str, str]]:
        """Goods of some orders may come back, as (return, order); of the first they have, so that there is a credit."""
        allowed = [(f"KNOWN-RT{n}", order_id) for n, order_id in enumerate(self.completed[: EACH + 1])]
        for return_id, order_id in allowed:
            lines = [{"line_no": 1, "quantity": 1}]
            await self.system.done(
                "fulfillment", "/returns", {"return_id": return_id, "order_id": order_id, "lines": lines}
            )
        (return_id, order_id), *others = allowed
        came = {"order_id": order_id, "received_at": datetime.now(UTC).isoformat(), "restocked": True}
        await self.system.done("fulfillment", f"/returns/{return_id}/received", came)
        return others

    # ---- requests

    def order(self) -> Requests:
        customers = _with("path", "customer_id", self.customers)
        products = [
            _request({"sku": sku}, body={"currency": CURRENCY}, seen_at=f"/products/{sku}")
            for sku in (PART, MIX.skus[0])
        ]
        decided = {
            what: [_request({"order_id": each}, seen_at=f"/orders/{each}") for each in _orders_of(customer_id)]
            for what, customer_id in (("cancel", CANCELLED), ("reject", REJECTED))
        }
        return {
            "POST /orders": [_request(body={"customer_id": c, "currency": CURRENCY}) for c in self.customers],
            "GET /orders": _with("query", "customer_id", self.customers),
            "GET /orders/{order_id}": _with("path", "order_id", self.completed),
            "POST /orders/{order_id}/cancel": decided["cancel"],
            "POST /orders/{order_id}/reject": decided["reject"],
            "GET /customers/{customer_id}": customers,
            "PUT /customers/{customer_id}": [
                _request({"customer_id": c}, body={"currency": CURRENCY}, seen_at=f"/customers/{c}")
                for c in self.customers
            ],
            "GET /products/{sku}": products,
            "PUT /products/{sku}/price": products,
        }

    def credit(self) -> Requests:
        account = "/credit-accounts/{customer_id}"
        seen = [_request({"customer_id": c}, seen_at=f"/credit-accounts/{c}") for c in self.customers]
        decided = {
            what: [
                _request({"order_id": each}, seen_at=f"/credit-accounts/{customer_id}")
                for each in _orders_of(customer_id)
            ]
            for what, customer_id in (("approve", APPROVED), ("decline", DECLINED))
        }
        return {
            f"GET {account}": _with("path", "customer_id", self.customers),
            f"PUT {account}/limit": seen,
            f"POST {account}/hold": seen,
            f"POST {account}/release": seen,
            "GET /credit-reviews": _with("query", "customer_id", (CANCELLED, DECLINED)),
            "POST /credit-reviews/{order_id}/approve": decided["approve"],
            "POST /credit-reviews/{order_id}/decline": decided["decline"],
        }

    async def fulfillment(self, returns: Sequence[tuple[str, str]]) -> Requests:
        skus = _with("path", "sku", MIX.skus)
        one = [{"line_no": 1, "quantity": 1}]
        reserved = await self.system.pages("fulfillment", "/fulfillments", customer_id=OPEN, status="reserved")
        assert len(reserved) == EACH, reserved
        return {
            "POST /receipts": _with("body", "sku", MIX.skus),
            "POST /stock/{sku}/adjust": skus,
            "POST /stock/{sku}/fill-backorders": skus,
            "GET /stock/{sku}": skus,
            "GET /fulfillments": _with("query", "customer_id", self.customers),
            "GET /fulfillments/{order_id}": _with("path", "order_id", self.completed),
            "GET /backorders": _with("query", "sku", MIX.skus),
            "POST /shipments": [_decided(row["order_id"], lines=one) for row in reserved],
            "POST /shipments/{shipment_id}/delivered": await self._shipped(),
            "POST /returns": [_decided(each, lines=one) for each in self.completed[2 * EACH : 3 * EACH]],
            "POST /returns/{return_id}/received": [
                _decided(order_id, {"return_id": return_id}, lines=one) for return_id, order_id in returns
            ],
        }

    async def _shipped(self) -> list[Request]:
        found = []
        for order_id in self.completed[3 * EACH : 4 * EACH]:
            for shipment in (await self.system.get("fulfillment", f"/fulfillments/{order_id}"))["shipments"]:
                found.append(_decided(order_id, {"shipment_id": shipment["shipment_id"]}))
        return found

    async def billing(self) -> Requests:
        by_customer = _with("query", "customer_id", self.customers)
        notes = await self.system.pages("billing", "/credit-notes")
        assert notes, "a return was credited"
        return {
            "GET /invoices": by_customer,
            "GET /invoices/{invoice_id}": _with("path", "invoice_id", sorted(self.world.progress.invoices)),
            "GET /credit-notes": _with("query", "customer_id", [note["customer_id"] for note in notes]),
            **await self._letters("billing"),
        }

    async def receivables(self) -> Requests:
        by_customer = _with("query", "customer_id", self.customers)
        applied, written_off = await self._open_items()
        days = _days()
        return {
            "POST /payments": [_request(body={"customer_id": c, "currency": CURRENCY}) for c in self.customers],
            "GET /payments/{payment_id}": _with("path", "payment_id", sorted(self.world.progress.payments)),
            "GET /unapplied": by_customer,
            "GET /accounts/{customer_id}": _with("path", "customer_id", self.customers),
            "POST /accounts/{customer_id}/apply": applied,
            "POST /accounts/{customer_id}/unapply": await self._paid(),
            "GET /open-items": by_customer,
            "POST /open-items/{invoice_id}/write-off": written_off,
            "GET /journal": _with("query", "day", days),
            "GET /trial-balance": _with("query", "on", days),
            "GET /aging": _with("query", "on", days),
        }

    async def _open_items(self) -> tuple[list[Request], list[Request]]:
        """What can be paid with unapplied money of the same customer, and what can be written off."""
        applied, written_off = [], []
        for customer_id in self.customers:
            seen_at = f"/accounts/{customer_id}"
            account = await self.system.get("receivables", seen_at)
            items, money = account["open_items"], account["unapplied"]
            half = min(len(items) // 2, len(money))
            for item, credit in zip(items[:half], money, strict=False):
                body = {"source_id": credit["source_id"], "invoice_id": item["invoice_id"], "amount_minor": 1}
                applied.append(_request({"customer_id": customer_id}, body=body, seen_at=seen_at))
            written_off += [_request({"invoice_id": item["invoice_id"]}, seen_at=seen_at) for item in items[half:]]
        assert min(len(applied), len(written_off)) >= EACH, (applied, written_off)
        return applied, written_off

    async def _paid(self) -> list[Request]:
        """What was applied and can be taken back."""
        found: list[Request] = []
        for payment_id in sorted(self.world.progress.payments):
            payment = await self.system.get("receivables", f"/payments/{payment_id}")
            if payment["applications"] and not payment["unapplied_minor"]:
                customer_id, invoice_id = payment["customer_id"], payment["applications"][0]["invoice_id"]
                body = {"source_id": payment_id, "invoice_id": invoice_id, "amount_minor": 1}
                found.append(_request({"customer_id": customer_id}, body=body, seen_at=f"/accounts/{customer_id}"))
            if len(found) == EACH:
                break
        return found

    async def analytics(self) -> Requests:
        before, *days, after = _days(-1, 3)
        period = {"from": before, "to": after}
        return {
            "GET /orders/{order_id}/story": _with("path", "order_id", self.completed),
            "GET /order-cycle": _with("query", "customer_id", self.customers),
            **{f"GET /{figures}": [_request(query=period)] for figures in ("funnel", "cycle-times", "revenue")},
            "GET /trial-balance": _with("query", "on", days),
            **await self._letters("analytics"),
        }

    async def _letters(self, service: str) -> Requests:
        """Dead letters, some for each thing that can be done with them."""
        letters = await self.system.letters(service, status="parked")
        assert len(letters) == LETTERS, letters
        shared: dict[str, list[Request]] = {"": [], "/retry": [], "/drop": []}
        for what, letter in zip(cycle(shared), letters, strict=False):
            shared[what].append(_request({"letter_id": letter["id"]}))
        methods = {"": "GET", "/retry": "POST", "/drop": "POST"}
        return {f"{methods[what]} /dead-letters/{{letter_id}}{what}": requests for what, requests in shared.items()}


def _days(first: int = 0, end: int = 3) -> list[str]:
    """Days from today on: orders are placed today, and their goods leave the house a day later."""
    return [str(datetime.now(UTC).date() + timedelta(days=n)) for n in range(first, end)]


def _decided(order_id: str, path: Mapping[str, Any] | None = None, **body: Any) -> Request:
    """What is decided on an order in the warehouse."""
    return _request(path, body={"order_id": order_id, **body}, seen_at=f"/fulfillments/{order_id}")
