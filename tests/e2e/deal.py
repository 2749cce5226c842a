"""One customer with articles, orders and money of their own, and how all six services see them in the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time
from typing import Any

from shared.contracts.inbound import Customer, Order, Payment, Receipt, RequestedLine, Shipment, ShippedLine
from tests.e2e.system import System, eventually

BANK, RECEIVABLES, CUSTOMER_CREDIT, TAX, REVENUE, WRITE_OFFS = "1000", "1200", "2100", "2200", "4000", "6100"


@dataclass(frozen=True)
class Picture:
    """What the six services say about one customer. All of it is compared; what a test leaves out must be empty.

    `orders`: id → status at the order service and at analytics. `exposure`, `reserved`: at credit. `stock`: SKU →
    (on hand, reserved, backordered). `invoices`, `credit_notes`: totals by number. `due`: order → what is open on its
    invoices. `unapplied`: payment or credit note → rest. `ledger`: account → debits − credits, zeros left out.
    """

    orders: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    exposure: int = 0
    reserved: int = 0
    stock: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    invoices: Sequence[int] = ()
    credit_notes: Sequence[int] = ()
    due: Mapping[str, int] = field(default_factory=dict)
    unapplied: Mapping[str, int] = field(default_factory=dict)
    ledger: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return "".join(f"\n    {f.name}: {getattr(self, f.name)}" for f in fields(self))


COMPLETED = ("completed", "completed")
HELD = ("held", "held")
CANCELLED = ("cancelled", "cancelled")
INVOICED = ("confirmed", "invoiced")


@dataclass
class Deal:
    """A customer `C-{name}` and their doings; `day` is the day on which all of it happens, but for `later_days`."""

    system: System
    name: str
    day: date
    currency: str = "EUR"
    later_days: list[date] = field(default_factory=list)
    _skus: list[str] = field(default_factory=list)

    @property
    def customer_id(self) -> str:
        return f"C-{self.name}"

    @property
    def noon(self) -> datetime:
        return datetime.combine(self.day, time(12), UTC)

    def order_id(self, number: int = 1) -> str:
        return f"O-{self.name}-{number}"

    def sku(self, number: int = 1) -> str:
        return f"S-{self.name}-{number}"

    def payment_id(self, number: int = 1) -> str:
        return f"P-{self.name}-{number}"

    # ---- messages

    def customer(self) -> Customer:
        """The customer, to be registered."""
        return Customer(self.customer_id, f"The {self.name} company", "DE", self.currency)

    def order(self, number: int = 1, *lines: RequestedLine, **options: Any) -> Order:
        """An order, 10 pieces at 10.00 with 20 % tax (120.00) if no lines are given."""
        asked = lines or (self.line(10, 1_000),)
        return Order(self.order_id(number), self.customer_id, self.currency, asked, self.noon, **options)

    def line(self, quantity: int, unit_price_minor: int, tax_rate_bp: int = 2_000, sku: int = 1) -> RequestedLine:
        """A line of an order."""
        return RequestedLine(self.sku(sku), quantity, unit_price_minor, tax_rate_bp)

    def receipt(self, quantity: int, sku: int = 1, number: int = 1) -> Receipt:
        """Goods of one article that come in."""
        if self.sku(sku) not in self._skus:
            self._skus.append(self.sku(sku))
        return Receipt(f"R-{self.sku(sku)}-{number}", self.sku(sku), quantity)

    def shipment(self, order: int = 1, number: int = 1, lines: Mapping[int, int] | None = None) -> Shipment:
        """A shipment of an order: line → quantity, or all that is reserved."""
        named = tuple(ShippedLine(line_no, quantity) for line_no, quantity in (lines or {}).items())
        return Shipment(f"SH-{self.order_id(order)}-{number}", self.order_id(order), self.noon, named)

    def payment(self, amount_minor: int, number: int = 1, **options: Any) -> Payment:
        """Money of this customer."""
        return Payment(self.payment_id(number), self.customer_id, amount_minor, self.currency, self.day, **options)

    # ---- steps

    async def begins(self, *, limit: int = 1_000_000, stock: int = 100) -> None:
        """Register the customer, set the limit, take the first article in; return when services know it."""
        await self.system.say(self.customer(), self.receipt(stock))
        await eventually(self._account_opened, True)
        path = f"/credit-accounts/{self.customer_id}/limit"
        response = await self.system.clients["credit"].put(path, json={"limit_minor": limit})
        assert response.status_code == 200, response.text
        await self.stocked(self.receipt(stock))

    async def stocked(self, *receipts: Receipt) -> None:
        """Say that goods came in; return when they are on hand."""
        await self.system.say(*receipts)
        for receipt in receipts:
            await eventually(lambda sku=receipt.sku: self._has_stock(sku), True)

    async def reserved(self, number: int = 1) -> None:
        """Return when the order has all its stock."""
        await self.order_shows(number, status="confirmed", allocation="reserved")

    async def order_shows(self, number: int = 1, **wanted: Any) -> None:
        """Return when the order service shows these fields of an order so."""

        async def look() -> dict[str, Any]:
            found = (await self.system.clients["order"].get(f"/orders/{self.order_id(number)}")).json()
            return {name: found.get(name) for name in wanted}

        await eventually(look, wanted)

    async def invoiced(self, number: int = 1, count: int = 1) -> list[Any]:
        """The invoices of an order, at receivables too, once there are so many."""

        async def look() -> bool:
            due = await self.system.pages("receivables", "/open-items", customer_id=self.customer_id)
            numbers = {item["number"] for item in due}
            return len(found := await self.invoices(number)) == count and {i["number"] for i in found} <= numbers

        await eventually(look, True)
        return await self.invoices(number)

    async def ships(self, number: int = 1) -> Any:
        """Place an order, wait for its stock, ship it, and return its one invoice."""
        await self.system.say(self.order(number))
        await self.reserved(number)
        await self.system.say(self.shipment(number))
        return (await self.invoiced(number))[0]

    async def ends_as(self, **wanted: Any) -> None:
        """Every service comes to say exactly this, and every entry of the journal balances."""
        await eventually(self.picture, Picture(**wanted))
        entries: Counter[str] = Counter()
        for line in await self.journal():
            assert (line["debit_minor"] > 0) != (line["credit_minor"] > 0), line
            entries[line["entry_id"]] += line["debit_minor"] - line["credit_minor"]
        assert set(entries.values()) <= {0}, entries

    # ---- looking

    async def picture(self) -> Picture:
        """What the services say now."""
        system, mine = self.system, {"customer_id": self.customer_id}
        account = (await system.clients["credit"].get(f"/credit-accounts/{self.customer_id}")).json()
        notes = await system.pages("billing", "/credit-notes", **mine)
        invoices = await system.pages("billing", "/invoices", **mine)
        due: Counter[str] = Counter()
        for item in await system.pages("receivables", "/open-items", **mine):
            due[item["order_id"]] += item["open_minor"]
        unapplied = await system.pages("receivables", "/unapplied", **mine)
        return Picture(
            await self._statuses(),
            account.get("exposure_minor", 0),
            account.get("reserved_minor", 0),
            {sku: await self._level(sku) for sku in self._skus},
            tuple(invoice["total_minor"] for invoice in invoices),
            tuple(note["total_minor"] for note in notes),
            dict(due),
            {rest["source_id"]: rest["rest_minor"] for rest in unapplied},
            await self._ledger(),
        )

    async def invoices(self, number: int = 1) -> list[Any]:
        """The invoices of an order at billing."""
        return await self.system.pages("billing", "/invoices", order_id=self.order_id(number))

    async def journal(self) -> list[Any]:
        """The customer's lines of the journal."""
        lines: list[Any] = []
        for day in dict.fromkeys((self.day, *self.later_days)):
            lines += await self.system.pages("receivables", "/journal", day=day.isoformat())
        return [line for line in lines if line["customer_id"] == self.customer_id]

    async def etag(self, service: str, path: str) -> str:
        """The ETag of something that is there."""
        response = await self.system.clients[service].get(path)
        assert response.status_code == 200, response.text
        return response.headers["ETag"]

    async def _statuses(self) -> dict[str, tuple[str, str]]:
        mine = {"customer_id": self.customer_id}
        placed = {row["order_id"]: row["status"] for row in await self.system.pages("order", "/orders", **mine)}
        told = {row["order_id"]: row["status"] for row in await self.system.pages("analytics", "/order-cycle", **mine)}
        return {order_id: (placed.get(order_id, ""), told.get(order_id, "")) for order_id in placed | told}

    async def _level(self, sku: str) -> tuple[int, int, int]:
        row = (await self.system.clients["fulfillment"].get(f"/stock/{sku}")).json()
        return row.get("on_hand", 0), row.get("reserved", 0), row.get("backordered", 0)

    async def _ledger(self) -> dict[str, int]:
        balances: Counter[str] = Counter()
        for line in await self.journal():
            balances[line["account"]] += line["debit_minor"] - line["credit_minor"]
        return {account: balance for account, balance in balances.items() if balance}

    async def _account_opened(self) -> bool:
        return (await self.system.clients["credit"].get(f"/credit-accounts/{self.customer_id}")).status_code == 200

    async def _has_stock(self, sku: str) -> bool:
        return (await self.system.clients["fulfillment"].get(f"/stock/{sku}")).status_code == 200
