"""When this happens elsewhere, billing does that. Documents are dated by the days of the issuer's time zone."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.billing.domain.billing import (
    CancelBilling,
    CreditReturn,
    CreditWaitingReturns,
    InvoiceShipment,
    OpenBilling,
    billing,
)
from services.billing.domain.billing_state import CreditDue
from services.billing.domain.documents import InvoiceLine, LineQuantity
from shared.contracts import fulfillment as warehouse
from shared.contracts.orders import OrderCancelled, OrderConfirmed
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.policy import Heard, Hears
from shared.values import Value


class BillingPolicy(Value, frozen=True, gc=False):
    """What the house decides about billing. `time_zone`: the IANA zone whose days documents are dated in."""

    time_zone: str


def local_day(instant: datetime, time_zone: str) -> date:
    """The day it is in a zone at an instant."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


def hears(policy: BillingPolicy) -> Hears:
    """What billing listens to, dating its documents by this policy."""
    zone = policy.time_zone

    def on_order_confirmed(message: OrderConfirmed, _: Heard) -> Sequence[To[Any]]:
        return [To(billing, message.order_id, _open_billing(message, local_day(message.confirmed_at, zone)))]

    def on_order_cancelled(message: OrderCancelled, heard: Heard) -> Sequence[To[Any]]:
        return [To(billing, message.order_id, CancelBilling(message.order_id, local_day(heard.at, zone)))]

    def on_shipped(message: warehouse.Shipped, _: Heard) -> Sequence[To[Any]]:
        lines, shipped_on = _quantities(message.lines), local_day(message.shipped_at, zone)
        command = InvoiceShipment(message.order_id, message.shipment_id, lines, shipped_on)
        return [To(billing, message.order_id, command)]

    def on_return_received(message: warehouse.ReturnReceived, _: Heard) -> Sequence[To[Any]]:
        lines, received_on = _quantities(message.lines), local_day(message.received_at, zone)
        command = CreditReturn(message.order_id, message.return_id, lines, received_on)
        return [To(billing, message.order_id, command)]

    return {
        OrderConfirmed: on_order_confirmed,
        OrderCancelled: on_order_cancelled,
        warehouse.Shipped: on_shipped,
        warehouse.ReturnReceived: on_return_received,
    }


def _open_billing(message: OrderConfirmed, confirmed_on: date) -> OpenBilling:
    lines = [
        InvoiceLine(
            line.line_no,
            line.sku,
            line.quantity,
            line.unit_price_minor,
            line.tax_rate_bp,
            line.quantity * line.unit_price_minor,
        )
        for line in message.lines
    ]
    return OpenBilling(
        order_id=message.order_id,
        customer_id=message.customer_id,
        currency=message.currency,
        lines=tuple(lines),
        tax_minor=message.tax_minor,
        payment_terms_days=message.payment_terms_days,
        invoice_on=message.invoice_on,
        confirmed_on=confirmed_on,
    )


def _quantities(lines: Iterable[warehouse.LineQuantity]) -> tuple[LineQuantity, ...]:
    """Each line once, in the order given."""
    found: dict[int, LineQuantity] = {}
    for line in lines:
        known = found.get(line.line_no)
        quantity = line.quantity if known is None else known.quantity + line.quantity
        found[line.line_no] = LineQuantity(line.line_no, line.sku, quantity)
    return tuple(found.values())


def react(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
    """Returns that waited for an invoice are credited as soon as it has its number."""
    due = [recorded.fact.order_id for recorded in facts if type(recorded.fact) is CreditDue]
    return [To(billing, order_id, CreditWaitingReturns(order_id)) for order_id in due]
