"""Finds an order, customer or invoice and tells its story across the services."""

import re
from collections.abc import Awaitable
from typing import Any

from services.analytics.pages.peers import PeerError, Peers
from services.analytics.queries import FUNNEL, STATUSES
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands

LINES_MAX = 200
ORDERS_MAX = 50
CUSTOMER_LINES_MAX = 100
SUGGESTIONS_MAX = 5

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
_SUGGESTED = """
SELECT order_id AS id FROM order_cycle WHERE order_id >= $1 ORDER BY order_id LIMIT {limit}
"""
_NUMBER = re.compile(r"[A-Za-z]{2,8}-\d{4}-\d{1,12}")


class Stories:
    """Looks things up in the own projections, and in those of others where only they know."""

    def __init__(self, commands: Commands, peers: Peers) -> None:
        self._commands, self._peers = commands, peers

    async def find(self, wanted: str) -> dict[str, Any]:
        """What has this id or invoice number: `hits`, and orders with similar ids as `near`; both as (kind, id).

        An id that nothing has as it was typed is looked up in capital letters, too: the keys' indexes serve both.

        `away`: why invoice numbers could not be looked up, "" when they were.
        """
        hits: list[tuple[str, str]] = []
        away = ""
        if not wanted:
            return {"hits": hits, "near": hits, "away": away}
        for kind, sql in (
            ("orders", "SELECT order_id AS id FROM order_cycle WHERE order_id = ANY($1::text[])"),
            ("customers", "SELECT customer_id AS id FROM customers WHERE customer_id = ANY($1::text[])"),
            ("invoices", "SELECT bill_id AS id FROM bills WHERE bill_id = ANY($1::text[]) AND kind = 'invoice'"),
        ):
            found = [row["id"] for row in await self._commands.fetch(sql, list({wanted, wanted.upper()}))]
            if found:
                hits.append((kind, wanted if wanted in found else found[0]))
        if _NUMBER.fullmatch(wanted):
            answer = await told(self._peers.get("billing", "invoices", number=wanted.upper(), limit=1))
            away = answer.problem
            hits += [("invoices", invoice["invoice_id"]) for invoice in (answer.value or {}).get("items", ())]
        rows = () if hits else await self._commands.fetch(_SUGGESTED.format(limit=SUGGESTIONS_MAX), wanted)
        near = [("orders", row["id"]) for row in rows if row["id"].startswith(wanted)]
        return {"hits": hits, "near": near, "away": away}

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
