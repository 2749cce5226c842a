"""One sentence per public message about an order: what people read in the story of an order."""

from collections.abc import Callable, Mapping
from typing import Any

from services.analytics.words import counted, day, money, reason
from shared.contracts import billing, credit, fulfillment, orders, receivables

SUMMARY_LENGTH_MAX = 200


def _pieces(lines: tuple[Any, ...]) -> str:
    return f"{counted(sum([line.quantity for line in lines]), 'piece')} on {counted(len(lines), 'line')}"


def _debits(entry: receivables.JournalPosted) -> int:
    return sum([line.debit_minor for line in entry.lines])


SENTENCES: Mapping[type[Any], Callable[[Any], str]] = {
    orders.OrderPlaced: lambda m: f"Placed: {_pieces(m.lines)} for {money(m.total_minor, m.currency)}",
    orders.OrderRejected: lambda m: f"Rejected: {', '.join(m.reasons)}",
    orders.OrderConfirmed: lambda m: f"Confirmed for {money(m.total_minor, m.currency)}",
    orders.OrderHeld: lambda m: f"Held: {reason(m.reason)}",
    orders.OrderReleased: lambda m: "Released",
    orders.OrderCancellationRequested: lambda m: f"Cancellation requested: {m.reason}",
    orders.OrderCancelled: lambda m: f"Cancelled: {m.reason}",
    orders.OrderCompleted: lambda m: f"Completed: {money(m.total_minor, m.currency)}",
    credit.CreditApproved: lambda m: (
        f"Credit of {money(m.amount_minor, m.currency)} approved "
        f"{'automatically' if m.approved_by == 'policy' else f'by {m.approved_by}'}"
    ),
    credit.CreditDeclined: lambda m: f"Credit of {money(m.amount_minor, m.currency)} declined: {reason(m.reason)}",
    credit.CreditReferred: lambda m: f"Credit referred to a person: {money(m.excess_minor, m.currency)} over the limit",
    credit.CreditReleased: lambda m: f"Credit of {money(m.amount_minor, m.currency)} released",
    fulfillment.StockReserved: lambda m: f"Reserved {'all' if m.complete else 'in part'}: {_pieces(m.lines)}",
    fulfillment.Backordered: lambda m: f"Backordered: {_pieces(m.lines)}",
    fulfillment.ReservationReleased: lambda m: f"Reservation released: {m.reason}",
    fulfillment.CancellationRefused: lambda m: f"Cancellation refused: {reason(m.reason)}",
    fulfillment.Shipped: lambda m: f"Shipped {m.shipment_id}: {_pieces(m.lines)}{', all done' if m.final else ''}",
    fulfillment.Delivered: lambda m: f"Delivered {m.shipment_id}",
    fulfillment.ReturnAuthorized: lambda m: (
        f"Return {m.return_id} authorized: {_pieces(m.lines)}{f', {m.reason}' if m.reason else ''}"
    ),
    fulfillment.ReturnReceived: lambda m: f"Return {m.return_id} received: {_pieces(m.lines)}",
    billing.Invoiced: lambda m: f"Invoice {m.number} for {money(m.total_minor, m.currency)}, due {day(m.due_on)}",
    billing.CreditNoteIssued: lambda m: (
        f"Credit note {m.number} for {money(m.total_minor, m.currency)} on {m.invoice_number}: {reason(m.reason)}"
    ),
    receivables.PaymentReceived: lambda m: f"Payment {m.payment_id} of {money(m.amount_minor, m.currency)} received",
    receivables.CashApplied: lambda m: (
        f"{money(m.amount_minor, m.currency)} of {m.source_id} applied to {m.invoice_number}, "
        f"{money(m.open_minor, m.currency)} still due"
    ),
    receivables.CashUnapplied: lambda m: (
        f"{money(m.amount_minor, m.currency)} of {m.source_id} taken back from {m.invoice_number}"
    ),
    receivables.CreditNoteBooked: lambda m: (
        f"Credit note {m.credit_note_id} takes {money(m.applied_minor, m.currency)} off {m.invoice_number}, "
        f"{money(m.credited_minor, m.currency)} is the customer's credit"
    ),
    receivables.InvoicePaid: lambda m: f"Nothing due any more on {m.invoice_number}",
    receivables.WrittenOff: lambda m: (
        f"{money(m.amount_minor, m.currency)} of {m.invoice_number} written off: {reason(m.reason)}"
    ),
    receivables.WriteOffReversed: lambda m: (
        f"{money(m.amount_minor, m.currency)} of {m.invoice_number} written off no more: {reason(m.reason)}"
    ),
    receivables.JournalPosted: lambda m: (
        f"Journal entry {m.entry_id} for {m.document}: {money(_debits(m), m.currency)}"
    ),
}
"""Every message class with an `order_id` → its sentence."""


def summary_of(message: Any) -> str:
    """What a message says, for people, in at most 200 characters."""
    text = SENTENCES[type(message)](message)
    return text if len(text) <= SUMMARY_LENGTH_MAX else text[: SUMMARY_LENGTH_MAX - 1] + "…"
