"""What must hold for orders over all services: they end when they should, and analytics tells the same story."""

from collections.abc import Mapping
from typing import Any

from o2c.verify.stores import Stores, facts
from o2c.verify.verdict import Finding, same, together

_PLACED = facts("order.OrderPlaced")
_COMPLETED = facts("order.OrderCompleted")


async def orders_complete_when_paid(stores: Stores) -> Finding:
    """An order is completed exactly when it is shipped and invoiced to the end and nothing is due on its invoices.

    Orders that were cancelled never are; one whose cash was un-applied after it was completed stays completed.
    """
    completed = await stores.table("order", f"SELECT d->>'order_id', 1 FROM {_COMPLETED} f")
    invoiced = await stores.table(
        "billing",
        f"SELECT d->>'order_id', bool_or((d->>'final')::boolean) FROM {facts('billing.Invoiced')} f GROUP BY 1",
    )
    due = await stores.table("receivables", "SELECT order_id, sum(open_minor)::numeric FROM open_items GROUP BY 1")
    shipped = await stores.table(
        "fulfillment",
        f"SELECT d->>'order_id', bool_or((d->>'final')::boolean) FROM {facts('fulfillment.Shipped')} f GROUP BY 1",
    )
    cancelled = await stores.table("order", f"SELECT d->>'order_id', 1 FROM {facts('order.OrderCancelled')} f")
    reopened = await _reopened_when_completed(stores)
    paid = {
        order_id: 1
        for order_id, final in invoiced.items()
        if final and shipped.get(order_id) and due.get(order_id, 0) == 0 and order_id not in cancelled
    }
    return same(_without(completed, reopened), _without(paid, reopened))


_VERSIONS = """
SELECT substr(originator_id, length('order-') + 1), 1 FROM events
WHERE topic IN ('order.OrderCompleted', 'order.InvoiceReopened') GROUP BY originator_id
HAVING max(originator_version) FILTER (WHERE topic = 'order.InvoiceReopened')
     > max(originator_version) FILTER (WHERE topic = 'order.OrderCompleted')
"""
_INSTANTS = """
SELECT f->'d'->>'order_id', max((f->'m'->>'at')::bigint)
FROM (SELECT convert_from(state, 'UTF8')::jsonb AS f FROM events WHERE topic = '{}' OFFSET 0) AS facts GROUP BY 1
"""


async def _reopened_when_completed(stores: Stores) -> Mapping[str, Any]:
    """Orders that were completed already when they heard that cash of theirs was un-applied."""
    heard = await stores.table("order", _VERSIONS)
    # Orders once did not listen to CashUnapplied: of what was said then, only the clocks know what came first.
    completed_us = await stores.table("order", _INSTANTS.format("order.OrderCompleted"))
    unapplied_us = await stores.table("receivables", _INSTANTS.format("receivables.CashUnapplied"))
    later = {each: 1 for each, at in unapplied_us.items() if each in completed_us and at > completed_us[each]}
    return {**heard, **later}


def _without(orders: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    return {order_id: value for order_id, value in orders.items() if order_id not in others}


async def orders_table_is_what_was_recorded(stores: Stores) -> Finding:
    """The clerk's list has every order that was placed, with its total, and shows as completed those that are."""
    table = await stores.table("order", "SELECT order_id, total_minor::numeric FROM orders")
    placed = await stores.table("order", f"SELECT d->>'order_id', (d->>'total_minor')::numeric FROM {_PLACED} f")
    shown = await stores.table("order", "SELECT order_id, 1 FROM orders WHERE status = 'completed'")
    completed = await stores.table("order", f"SELECT d->>'order_id', 1 FROM {_COMPLETED} f")
    return together([same(table, placed), same(shown, completed)])


async def analytics_has_every_order(stores: Stores) -> Finding:
    """Ordered, invoiced and credited per order, and which are completed, are what order and billing recorded."""
    sums = "SELECT d->>'order_id', sum((d->>'total_minor')::numeric) FROM {} f GROUP BY 1"
    findings = []
    for service, name, column in (
        ("order", "order.OrderPlaced", "ordered_minor"),
        ("billing", "billing.Invoiced", "invoiced_minor"),
        ("billing", "billing.CreditNoteIssued", "credited_minor"),
    ):
        told = f"SELECT order_id, {column}::numeric FROM order_cycle WHERE {column} <> 0"
        recorded = await stores.table(service, sums.format(facts(name)))
        findings.append(same(await stores.table("analytics", told), {k: v for k, v in recorded.items() if v}))
    shown = await stores.table("analytics", "SELECT order_id, 1 FROM order_cycle WHERE completed_at IS NOT NULL")
    completed = await stores.table("order", f"SELECT d->>'order_id', 1 FROM {_COMPLETED} f")
    return together([*findings, same(shown, completed)])


async def analytics_has_the_journal(stores: Stores) -> Finding:
    """Balances per day, account and currency in analytics = the journal as recorded."""
    told = (
        "SELECT posted_on, account, currency, (debit_minor - credit_minor)::numeric FROM account_balances "
        "WHERE debit_minor <> credit_minor"
    )
    recorded = f"""
        SELECT (d->>'posted_on')::date, line->>'account', d->>'currency',
               sum((line->>'debit_minor')::numeric - (line->>'credit_minor')::numeric)
        FROM {facts("receivables.JournalPosted")} f, jsonb_array_elements(f.d->'lines') line GROUP BY 1, 2, 3"""
    journal = await stores.table("receivables", recorded)
    return same(await stores.table("analytics", told), {key: amount for key, amount in journal.items() if amount})
