"""When this happens elsewhere, the order does that: inbound orders and customers, then what the other stages say."""

from collections.abc import Sequence
from typing import Any

from services.order.domain.checks import customer_problems, order_problems
from services.order.domain.customer import PutCustomer, customer
from services.order.domain.order import order
from services.order.domain.order_commands import (
    ConfirmOrder,
    FinishCancellation,
    HoldOrder,
    NoteProgress,
    OrderCommand,
    PlaceOrder,
    RefuseCancellation,
)
from services.order.domain.order_facts import (
    AllocationNoted,
    CreditNoteNoted,
    InvoiceNoted,
    InvoicePaymentNoted,
    InvoiceReopened,
    Noted,
    OrderLine,
    ShipmentNoted,
    ShippedQuantity,
)
from shared.contracts import inbound
from shared.contracts.billing import CreditNoteIssued, Invoiced
from shared.contracts.credit import CreditApproved, CreditDeclined, CreditReferred
from shared.contracts.fulfillment import Backordered, CancellationRefused, ReservationReleased, Shipped, StockReserved
from shared.contracts.receivables import CashUnapplied, InvoicePaid
from shared.errors import ContractError
from shared.eventsourced.decider import To
from shared.eventsourced.policy import Heard, Hears

Commands = Sequence[To[Any]]


def on_inbound_order(message: inbound.Order, _: Heard) -> Commands:
    """Take the order, or refuse it with every reason at once (ContractError)."""
    command = PlaceOrder(
        order_id=message.order_id,
        customer_id=message.customer_id,
        currency=message.currency,
        lines=tuple(
            OrderLine(line_no, line.sku, line.quantity, line.unit_price_minor, line.tax_rate_bp)
            for line_no, line in enumerate(message.lines, 1)
        ),
        placed_at=message.placed_at,
        payment_terms_days=message.payment_terms_days,
        prepaid=message.prepaid,
        ship_complete=message.ship_complete,
        invoice_on=message.invoice_on,
    )
    if problems := order_problems(command):
        raise ContractError(problems)
    return _to(command.order_id, command)


def on_inbound_customer(message: inbound.Customer, _: Heard) -> Commands:
    """Register the customer or change their data, or refuse with every reason at once (ContractError)."""
    command = PutCustomer(
        message.customer_id, message.name, message.country, message.currency, message.payment_terms_days
    )
    if problems := customer_problems(command):
        raise ContractError(problems)
    return (To(customer, command.customer_id, command),)


def on_credit_approved(message: CreditApproved, heard: Heard) -> Commands:
    """Confirm the order, released if it was held."""
    return _to(message.order_id, ConfirmOrder(heard.at))


def on_credit_declined(message: CreditDeclined, _: Heard) -> Commands:
    """Hold, never cancel: money may come in, and a person may decide otherwise."""
    return _to(message.order_id, HoldOrder("credit_declined"))


def on_credit_referred(message: CreditReferred, _: Heard) -> Commands:
    """Hold until a person decides."""
    return _to(message.order_id, HoldOrder("credit_referred"))


def on_stock_reserved(message: StockReserved, _: Heard) -> Commands:
    """All of the order has stock, or some of it."""
    return _note(message.order_id, AllocationNoted("reserved" if message.complete else "partial"))


def on_backordered(message: Backordered, _: Heard) -> Commands:
    """Some of the order waits for stock."""
    return _note(message.order_id, AllocationNoted("backordered"))


def on_shipped(message: Shipped, _: Heard) -> Commands:
    """Count what left the house."""
    lines = tuple(ShippedQuantity(line.line_no, line.quantity) for line in message.lines)
    return _note(message.order_id, ShipmentNoted(message.shipment_id, lines, message.shipped_at, message.final))


def on_invoiced(message: Invoiced, _: Heard) -> Commands:
    """An invoice is open, unless its payment was heard of before it."""
    return _note(message.order_id, InvoiceNoted(message.invoice_id, message.number, message.total_minor, message.final))


def on_invoice_paid(message: InvoicePaid, _: Heard) -> Commands:
    """An invoice is closed, perhaps before it was heard of."""
    return _note(message.order_id, InvoicePaymentNoted(message.invoice_id, message.invoice_number, message.total_minor))


def on_cash_unapplied(message: CashUnapplied, _: Heard) -> Commands:
    """Something is due on an invoice again. InvoicePaid has the same speaker and key: they come as they were said."""
    return _note(message.order_id, InvoiceReopened(message.invoice_id, message.invoice_number, message.open_minor))


def on_credit_note_issued(message: CreditNoteIssued, _: Heard) -> Commands:
    """Part of an invoice was taken back."""
    return _note(
        message.order_id,
        CreditNoteNoted(message.credit_note_id, message.number, message.invoice_id, message.total_minor),
    )


def on_reservation_released(message: ReservationReleased, _: Heard) -> Commands:
    """The cancellation was faster than shipping."""
    return _to(message.order_id, FinishCancellation())


def on_cancellation_refused(message: CancellationRefused, _: Heard) -> Commands:
    """Shipping was faster than the cancellation."""
    return _to(message.order_id, RefuseCancellation(message.reason))


HEARS: Hears = {
    inbound.Order: on_inbound_order,
    inbound.Customer: on_inbound_customer,
    CreditApproved: on_credit_approved,
    StockReserved: on_stock_reserved,
    Shipped: on_shipped,
    Invoiced: on_invoiced,
    InvoicePaid: on_invoice_paid,
    CreditDeclined: on_credit_declined,
    CreditReferred: on_credit_referred,
    Backordered: on_backordered,
    ReservationReleased: on_reservation_released,
    CancellationRefused: on_cancellation_refused,
    CreditNoteIssued: on_credit_note_issued,
    CashUnapplied: on_cash_unapplied,
}


def _to(order_id: str, command: OrderCommand) -> Commands:
    return (To(order, order_id, command),)


def _note(order_id: str, progress: Noted) -> Commands:
    return _to(order_id, NoteProgress(progress))
