"""What must hold in credit: every customer's exposure, computed anew from all stores, is the stored one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from o2c.verify.stores import Stores, facts
from o2c.verify.verdict import Finding, same
from shared.values import Value


class ApprovedOrder(Value, frozen=True, gc=False):
    """An approved order: what it reserved, what of it is invoiced, and whether it holds nothing any more."""

    customer_id: str
    reserved_minor: int
    invoiced_minor: int
    ended: bool


async def exposure_is_what_was_recorded(stores: Stores) -> Finding:
    """Reserved and not yet invoiced + invoiced − credited − received − written off + reversed, per customer, is the
    stored figure.

    Reservations come from credit, invoices from billing, money from receivables: three stores against a fourth's sum.
    """
    stored = await stores.table("credit", "SELECT customer_id, exposure_minor::numeric FROM credit_accounts")
    currencies = await stores.table("credit", "SELECT customer_id, currency FROM credit_accounts")
    computed = exposures(await _orders(stores, currencies), await _owed(stores, currencies))
    return same(stored, {customer: amount for customer, amount in computed.items() if customer in stored})


async def _orders(stores: Stores, currencies: Mapping[str, str]) -> list[ApprovedOrder]:
    """Approved orders in their account's own currency; the others are in books of their own."""
    approved = await stores.rows(
        "credit",
        "SELECT d->>'order_id', d->>'customer_id', (d->>'amount_minor')::bigint, d->>'currency' "
        f"FROM {facts('credit.CreditApproved')} f",
    )
    released = {
        row[0] for row in await stores.rows("credit", f"SELECT d->>'order_id' FROM {facts('credit.CreditReleased')} f")
    }
    invoiced = {
        order_id: (int(total), final)
        for order_id, total, final in await stores.rows(
            "billing",
            "SELECT d->>'order_id', sum((d->>'total_minor')::numeric), bool_or((d->>'final')::boolean) "
            f"FROM {facts('billing.Invoiced')} f GROUP BY 1",
        )
    }
    orders = []
    for order_id, customer_id, reserved, currency in approved:
        if currencies.get(customer_id) != currency:
            continue
        total, final = invoiced.get(order_id, (0, False))
        orders.append(ApprovedOrder(customer_id, reserved, total, final or order_id in released))
    return orders


async def _owed(stores: Stores, currencies: Mapping[str, str]) -> list[tuple[str, int]]:
    """(customer, amount): invoices and reversals up, credit notes, money and write-offs down, in the account's own
    currency.
    """
    owed = []
    for service, name, field, sign in (
        ("billing", "billing.Invoiced", "total_minor", 1),
        ("billing", "billing.CreditNoteIssued", "total_minor", -1),
        ("receivables", "receivables.PaymentReceived", "amount_minor", -1),
        ("receivables", "receivables.WrittenOff", "amount_minor", -1),
        ("receivables", "receivables.WriteOffReversed", "amount_minor", 1),
    ):
        rows = await stores.rows(
            service,
            f"SELECT d->>'customer_id', d->>'currency', sum((d->>'{field}')::numeric) "
            f"FROM {facts(name)} f GROUP BY 1, 2",
        )
        owed += [(customer, sign * int(amount)) for customer, cur, amount in rows if currencies.get(customer) == cur]
    return owed


def exposures(orders: Iterable[ApprovedOrder], owed: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Customer → exposure: what approved orders still hold, and what is owed."""
    exposure: defaultdict[str, int] = defaultdict(int)
    for order in orders:
        if not order.ended:
            exposure[order.customer_id] += max(order.reserved_minor - order.invoiced_minor, 0)
    for customer_id, amount in owed:
        exposure[customer_id] += amount
    return dict(exposure)
