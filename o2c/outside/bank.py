"""The customers' banks: they hear of invoices and pay them as planned. Pure: a message in, payments out."""

from collections.abc import Mapping
from datetime import date, timedelta

from o2c.outside.heard import Invoice, Placed
from o2c.outside.plan import Kind
from shared.contracts.inbound import Payment

LATE_BY = timedelta(days=12)
DEVIATION_PERCENT = 5
"""How much over- and short payments differ from what is due; at least one minor unit."""


def _deviation(total_minor: int) -> int:
    return max(1, total_minor * DEVIATION_PERCENT // 100)


class Bank:
    """Pays for the orders of `plans` (order id → way of paying) and for no others.

    Payment ids and value days follow from the invoice alone, so an invoice heard twice is paid once. Only the
    final invoice of an order is paid in an unusual way; those before it are paid in full and in time.
    """

    def __init__(self, plans: Mapping[str, Kind]) -> None:
        self._plans = plans

    def placed(self, order: Placed) -> list[Payment]:
        """Who prepays does so by card at once, naming the order since there is no invoice yet."""
        if self._plans.get(order.order_id) is not Kind.PREPAID:
            return []
        return [
            Payment(
                f"CARD-{order.order_id}",
                order.customer_id,
                order.total_minor,
                order.currency,
                order.placed_at.date(),
                method="card",
                order_id=order.order_id,
            )
        ]

    def invoiced(self, invoice: Invoice) -> list[Payment]:
        """What the customer sends for this invoice, in the order of sending."""
        kind = self._plans.get(invoice.order_id)
        if kind is None or kind is Kind.PREPAID:
            return []
        return _pay(invoice, kind if invoice.final else Kind.FULL)


def _pay(invoice: Invoice, kind: Kind) -> list[Payment]:
    total, due = invoice.total_minor, invoice.due_on
    match kind:
        case Kind.TWO_PARTS if total > 1:
            half = total // 2
            return [_part(invoice, 1, half, invoice.issued_on), _part(invoice, 2, total - half, due)]
        case Kind.OVER:
            return [_part(invoice, 1, total + _deviation(total), due)]
        case Kind.SHORT if total > 1:
            return [_part(invoice, 1, total - _deviation(total), due)]
        case Kind.LATE:
            return [_part(invoice, 1, total, due + LATE_BY)]
        case Kind.DOUBLE:
            return [_part(invoice, 1, total, due)] * 2
        case Kind.WRONG_REFERENCE:
            return [_part(invoice, 1, total, due, reference=f"YOUR BILL {invoice.issued_on:%d/%m/%y}")]
        case _:
            return [_part(invoice, 1, total, due)]


def _part(invoice: Invoice, part: int, amount_minor: int, value_on: date, *, reference: str = "") -> Payment:
    return Payment(
        f"BANK-{invoice.invoice_id}-{part}",
        invoice.customer_id,
        amount_minor,
        invoice.currency,
        value_on,
        reference=reference or invoice.number,
    )
