"""One sentence per public message about an order: what people read in the story of an order."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.contracts import billing, credit, fulfillment, orders, receivables
from shared.money import EXPONENTS, text_from_minor

SUMMARY_LENGTH_MAX = 200


def _money(amount_minor: int, currency: str) -> str:
    # A currency that this version does not know yet is shown in its minor units rather than not at all.
    return f"{text_from_minor(amount_minor, currency) if currency in EXPONENTS else amount_minor} {currency}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _pieces(lines: tuple[Any, ...]) -> str:
    return f"{_counted(sum([line.quantity for line in lines]), 'piece')} on {_counted(len(lines), 'line')}"


def _debits(entry: receivables.JournalPosted) -> int:
    return sum([line.debit_minor for line in entry.lines])


SENTENCES: Mapping[type[Any], Callable[[Any], str]] = {
    orders.OrderPlaced: lambda m: f"Placed: {_pieces(m.lines)} for {_money(m.total_minor, m.currency)}",
    orders.OrderRejected: lambda m: f"Rejected: {', '.join(m.reasons)}",
    orders.OrderConfirmed: lambda m: f"Confirmed for {_money(m.total_minor, m.currency)}",
    orders.OrderHeld: lambda m: f"Held: {m.reason}",
    orders.OrderReleased: lambda m: "Released",
    orders.OrderCancellationRequested: lambda m: f"Cancellation requested: {m.reason}",
    orders.OrderCancelled: lambda m: f"Cancelled: {m.reason}",
    orders.OrderCompleted: lambda m: f"Completed: {_money(m.total_minor, m.currency)}",
    credit.CreditApproved: lambda m: f"Credit of {_money(m.amount_minor, m.currency)} approved by {m.approved_by}",
    credit.CreditDeclined: lambda m: f"Credit of {_money(m.amount_minor, m.currency)} declined: {m.reason}",
    credit.CreditReferred: lambda m: (
        f"Credit referred to a person: {_money(m.excess_minor, m.currency)} over the limit"
    ),
    credit.CreditReleased: lambda m: f"Credit of {_money(m.amount_minor, m.currency)} released",
    fulfillment.StockReserved: lambda m: f"Reserved {'all' if m.complete else 'in part'}: {_pieces(m.lines)}",
    fulfillment.Backordered: lambda m: f"Backordered: {_pieces(m.lines)}",
    fulfillment.ReservationReleased: lambda m: f"Reservation released: {m.reason}",
    fulfillment.CancellationRefused: lambda m: f"Cancellation refused: {m.reason}",
    fulfillment.Shipped: lambda m: f"Shipped {m.shipment_id}: {_pieces(m.lines)}{', all done' if m.final else ''}",
    fulfillment.Delivered: lambda m: f"Delivered {m.shipment_id}",
    fulfillment.ReturnAuthorized: lambda m: f"Return {m.return_id} authorized: {_pieces(m.lines)}, {m.reason}",
    fulfillment.ReturnReceived: lambda m: f"Return {m.return_id} received: {_pieces(m.lines)}",
    billing.Invoiced: lambda m: f"Invoice {m.number} for {_money(m.total_minor, m.currency)}, due {m.due_on}",
    billing.CreditNoteIssued: lambda m: (
        f"Credit note {m.number} for {_money(m.total_minor, m.currency)} on {m.invoice_number}: {m.reason}"
    ),
    receivables.PaymentReceived: lambda m: f"Payment {m.payment_id} of {_money(m.amount_minor, m.currency)} received",
    receivables.CashApplied: lambda m: (
        f"{_money(m.amount_minor, m.currency)} of {m.source_id} applied to {m.invoice_number}, "
        f"{_money(m.open_minor, m.currency)} still due"
    ),
    receivables.CashUnapplied: lambda m: (
        f"{_money(m.amount_minor, m.currency)} of {m.source_id} taken back from {m.invoice_number}"
    ),
    receivables.CreditNoteBooked: lambda m: (
        f"Credit note {m.credit_note_id} takes {_money(m.applied_minor, m.currency)} off {m.invoice_number}, "
        f"{_money(m.credited_minor, m.currency)} is the customer's credit"
    ),
    receivables.InvoicePaid: lambda m: f"Nothing due any more on {m.invoice_number}",
    receivables.WrittenOff: lambda m: (
        f"{_money(m.amount_minor, m.currency)} of {m.invoice_number} written off: {m.reason}"
    ),
    receivables.JournalPosted: lambda m: (
        f"Journal entry {m.entry_id} for {m.document}: {_money(_debits(m), m.currency)}"
    ),
}
"""Every message class with an `order_id` → its sentence."""


def summary_of(message: Any) -> str:
    """What a message says, for people, in at most 200 characters."""
    text = SENTENCES[type(message)](message)
    return text if len(text) <= SUMMARY_LENGTH_MAX else text[: SUMMARY_LENGTH_MAX - 1] + "…"
