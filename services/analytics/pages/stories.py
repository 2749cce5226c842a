"""Tells the story of an order, customer, invoice or payment across the services."""

from collections.abc import Awaitable
from typing import Any

from services.analytics.pages.peers import PeerError, Peers
from services.analytics.queries import FUNNEL, STATUSES
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands

LINES_MAX = 200
ORDERS_MAX = 50
CUSTOMER_LINES_MAX = 100

_STATUS = "CASE " + " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in STATUSES.items()) + " END"
_STAGES = ", ".join(f"{column} AS {stage}" for stage, column in FUNNEL.items())
_ORDER = f"""
SELECT order_id, customer_id, currency, coalesce({_STATUS}, 'unknown') AS status, held_at, backordered_at, rejected_at,
       cancelled_at, coalesce(ordered_minor, 0) AS ordered_minor, coalesce(invoiced_minor, 0)::bigint AS invoiced_minor,
       coalesce(credited_minor, 0)::bigint AS credited_minor, coalesce(paid_minor, 0)::bigint AS paid_minor,
       coalesce(written_off_minor, 0)::bigint AS written_off_minor, {_STAGES}
FROM order_cycle
"""
_STORY = """
SELECT order_id, at, speaker, type, summary FROM order_story
WHERE order_id = ANY($1::text[]) ORDER BY at {way}, message_id {way} LIMIT {limit}
"""
_CUSTOMER = """
SELECT customer_id, country, currency, payment_terms_days, registered_at FROM customers WHERE customer_id = $1
"""
_INVOICE = """
SELECT bill_id AS invoice_id, number, order_id, customer_id, currency, net_minor, tax_minor, total_minor, issued_on,
       due_on, recorded_at
FROM bills WHERE bill_id = $1 AND kind = 'invoice'
"""
_MOVEMENTS = f"""
SELECT kind, source_id, amount_minor, effective_on, recorded_at FROM receivable_movements
WHERE invoice_id = $1 ORDER BY recorded_at, movement_id LIMIT {LINES_MAX}
"""
_PAYMENT = """
SELECT payment_id, customer_id, order_id, currency, amount_minor, value_on, method, reference, recorded_at
FROM receipts WHERE payment_id = $1
"""
_ORDERS_OF = f"""
SELECT DISTINCT order_id FROM bills
WHERE bill_id = ANY($1::text[]) AND kind = 'invoice' AND order_id IS NOT NULL ORDER BY order_id LIMIT {ORDERS_MAX}
"""


class Stories:
    """Looks things up in the own projections, and in those of others where only they know."""

    def __init__(self, commands: Commands, peers: Peers) -> None:
        self._commands, self._peers = commands, peers

    async def order(self, order_id: str) -> dict[str, Any]:
        """An order with its stages, invoices and everything that was said about it. NotFoundError."""
        rows = await self._commands.fetch(f"{_ORDER} WHERE order_id = $1", order_id)
        lines = await self._commands.fetch(_STORY.format(way="ASC", limit=LINES_MAX + 1), [order_id])
        if not rows and not lines:
            raise NotFoundError(f"Nothing was ever said about order {order_id}.")
        invoices = await told(self._peers.get("billing", "invoices", order_id=order_id, limit=ORDERS_MAX))
        return {
            "order_id": order_id,
            "order": dict(rows[0]) if rows else None,
            "stages": [(stage, rows[0][stage]) for stage in FUNNEL] if rows else [],
            "lines": [dict(line) for line in lines[:LINES_MAX]],
            "more": len(lines) > LINES_MAX,
            "invoices": invoices,
        }

    async def customer(self, customer_id: str) -> dict[str, Any]:
        """A customer's latest orders, credit, account, and what was said lately. No name or address. NotFoundError."""
        customers = await self._commands.fetch(_CUSTOMER, customer_id)
        latest = f"{_ORDER} WHERE customer_id = $1 ORDER BY placed_at DESC NULLS LAST LIMIT {ORDERS_MAX + 1}"
        orders = await self._commands.fetch(latest, customer_id)
        if not customers and not orders:
            raise NotFoundError(f"Nothing was ever said about customer {customer_id}.")
        ids = [order["order_id"] for order in orders[:ORDERS_MAX]]
        lines = await self._commands.fetch(_STORY.format(way="DESC", limit=CUSTOMER_LINES_MAX), ids)
        return {
            "customer_id": customer_id,
            "customer": dict(customers[0]) if customers else None,
            "orders": [dict(order) for order in orders[:ORDERS_MAX]],
            "more": len(orders) > ORDERS_MAX,
            "lines": [dict(line) for line in lines],
            "credit": await told(self._peers.seen("credit", "credit-accounts", customer_id)),
            "account": await told(self._peers.get("receivables", "accounts", customer_id)),
        }

    async def invoice(self, invoice_id: str) -> dict[str, Any]:
        """An invoice, what changed what is due on it, and the story of its order. NotFoundError."""
        rows = await self._commands.fetch(_INVOICE, invoice_id)
        if not rows:
            raise NotFoundError(f"There is no invoice {invoice_id}.")
        movements = await self._commands.fetch(_MOVEMENTS, invoice_id)
        lines = await self._commands.fetch(_STORY.format(way="ASC", limit=LINES_MAX), [rows[0]["order_id"]])
        due, shown = 0, []
        for movement in movements:
            due += int(movement["amount_minor"])
            shown.append({**movement, "due_minor": due})
        return {
            "invoice": dict(rows[0]),
            "due_minor": due,
            "movements": shown,
            "lines": [dict(line) for line in lines],
        }

    async def payment(self, payment_id: str) -> dict[str, Any]:
        """A payment, what it pays, and the stories of the orders that it pays for. NotFoundError."""
        rows = await self._commands.fetch(_PAYMENT, payment_id)
        if not rows:
            raise NotFoundError(f"There is no payment {payment_id}.")
        payment = await told(self._peers.get("receivables", "payments", payment_id))
        pays = payment.value["applications"][:ORDERS_MAX] if payment.value else []
        paid = await self._commands.fetch(_ORDERS_OF, [one["invoice_id"] for one in pays])
        orders = {row["order_id"] for row in paid} | ({rows[0]["order_id"]} - {"", None})
        lines = await self._commands.fetch(_STORY.format(way="ASC", limit=LINES_MAX), sorted(orders))
        return {"payment": dict(rows[0]), "known": payment, "pays": pays, "lines": [dict(line) for line in lines]}


class Told:
    """What another service answered, or why there is no answer."""

    def __init__(self, value: Any, problem: str) -> None:
        self.value, self.problem = value, problem


async def told(asking: Awaitable[Any]) -> Told:
    """An answer that a page can do without: None and no problem for what the service does not know."""
    try:
        return Told(await asking, "")
    except PeerError as error:
        return Told(None, "" if error.status == 404 else error.detail)
