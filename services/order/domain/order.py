"""The life of an order, from placed to completed. Stream: `order-{order_id}`.

The order is the process manager of the cycle: it waits for credit, lets the others begin by being confirmed, and is
completed by what they say in whatever order that arrives.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from services.order.domain.order_commands import (
    CancelOrder,
    ConfirmOrder,
    FinishCancellation,
    HoldOrder,
    NoteProgress,
    OrderCommand,
    PlaceOrder,
    RefuseCancellation,
    RejectOrder,
)
from services.order.domain.order_facts import (
    AllocationNoted,
    CreditNoteNoted,
    InvoiceNoted,
    InvoicePaymentNoted,
    InvoiceReopened,
    Noted,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFact,
    OrderHeld,
    OrderPlaced,
    OrderRejected,
    OrderReleased,
    ShipmentNoted,
)
from shared.errors import ConflictError, DomainError, NotFoundError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import State
from shared.money import tax_per_document
from shared.values import Map, Value, evolved

# ---- State

Status = Literal["new", "placed", "held", "confirmed", "cancelling", "cancelled", "rejected", "completed"]
"""`new`: nothing was ever recorded. `cancelling`: fulfillment has not yet said whether shipping was faster."""


class Invoice(Value, frozen=True, gc=False):
    """An invoice of the order. `issued`: billing was heard, perhaps after receivables.

    `paid`: receivables said that nothing is due, and have not said since that money was taken back.
    """

    number: str
    total_minor: int
    issued: bool
    paid: bool


class Order(State, frozen=True, gc=False):
    """`reason`: why it is held, cancelling, cancelled or rejected. `shipped`: line number → quantity that left.

    `open_invoices`: how many were issued and not paid. `shipped_fully`, `invoiced_fully`: the final one was heard.
    `credit_notes`: id → number. `settled_minor`: of the invoices on which nothing is due any more, however that came.
    """

    status: Status = "new"
    reason: str = ""
    placed: OrderPlaced | None = None
    confirmed_at: datetime | None = None
    allocation: str = ""
    shipments: Map[str, datetime] = Map()
    shipped: Map[int, int] = Map()
    shipped_fully: bool = False
    invoices: Map[str, Invoice] = Map()
    open_invoices: int = 0
    invoiced_fully: bool = False
    credit_notes: Map[str, str] = Map()
    invoiced_minor: int = 0
    settled_minor: int = 0
    credited_minor: int = 0


def evolve(state: Order, fact: OrderFact) -> Order:
    """The order after this fact."""
    return _EVOLVE[type(fact)](state, fact)


def _after_confirmation(state: Order, fact: OrderConfirmed) -> Order:
    return evolved(state, status="confirmed", reason="", confirmed_at=fact.confirmed_at)


def _after_shipment(state: Order, shipment: ShipmentNoted) -> Order:
    with state.shipped.mutate() as shipped:
        for line in shipment.lines:
            shipped[line.line_no] = shipped.get(line.line_no, 0) + line.quantity
        finished = shipped.finish()
    return evolved(
        state,
        shipments=state.shipments.set(shipment.shipment_id, shipment.shipped_at),
        shipped=finished,
        shipped_fully=state.shipped_fully or shipment.final,
    )


def _after_invoice(state: Order, invoice: InvoiceNoted) -> Order:
    total, known = invoice.total_minor, state.invoices.get(invoice.invoice_id)
    # An invoice over nothing is never paid: nothing is due on it from the beginning.
    paid = total == 0 or (known is not None and known.paid)
    return evolved(
        state,
        invoices=state.invoices.set(invoice.invoice_id, Invoice(invoice.number, total, True, paid)),
        open_invoices=state.open_invoices + (not paid),
        invoiced_minor=state.invoiced_minor + total,
        invoiced_fully=state.invoiced_fully or invoice.final,
    )


def _after_payment(state: Order, payment: InvoicePaymentNoted) -> Order:
    known = state.invoices.get(payment.invoice_id)
    issued = known is not None and known.issued
    invoice = Invoice(payment.number, payment.total_minor, issued, True)
    return evolved(
        state,
        invoices=state.invoices.set(payment.invoice_id, invoice),
        open_invoices=state.open_invoices - issued,
        settled_minor=state.settled_minor + payment.total_minor,
    )


def _after_reopening(state: Order, reopened: InvoiceReopened) -> Order:
    invoice = state.invoices[reopened.invoice_id]
    return evolved(
        state,
        invoices=state.invoices.set(reopened.invoice_id, evolved(invoice, paid=False)),
        open_invoices=state.open_invoices + invoice.issued,
        settled_minor=state.settled_minor - invoice.total_minor,
    )


def _after_credit_note(state: Order, note: CreditNoteNoted) -> Order:
    credit_notes = state.credit_notes.set(note.credit_note_id, note.number)
    return evolved(state, credit_notes=credit_notes, credited_minor=state.credited_minor + note.total_minor)


# A table and not a match: looking a class up costs a tenth of asking for each of fifteen whether it is the one.
_EVOLVE: Mapping[type[Any], Callable[[Order, Any], Order]] = {
    OrderPlaced: lambda state, fact: evolved(state, status="placed", placed=fact),
    OrderHeld: lambda state, fact: evolved(state, status="held", reason=fact.reason),
    OrderReleased: lambda state, _: evolved(state, status="placed", reason=""),
    OrderConfirmed: _after_confirmation,
    OrderRejected: lambda state, fact: evolved(state, status="rejected", reason="; ".join(fact.reasons)),
    OrderCancellationRequested: lambda state, fact: evolved(state, status="cancelling", reason=fact.reason),
    OrderCancellationRefused: lambda state, _: evolved(state, status="confirmed", reason=""),
    OrderCancelled: lambda state, fact: evolved(state, status="cancelled", reason=fact.reason),
    AllocationNoted: lambda state, fact: evolved(state, allocation=fact.allocation),
    ShipmentNoted: _after_shipment,
    InvoiceNoted: _after_invoice,
    InvoicePaymentNoted: _after_payment,
    InvoiceReopened: _after_reopening,
    CreditNoteNoted: _after_credit_note,
    OrderCompleted: lambda state, _: evolved(state, status="completed"),
}


# ---- Decisions


def decide(state: Order, command: OrderCommand) -> Sequence[OrderFact]:
    """What a command leads to.

    Raises ConflictError when an order id comes with other content, NotFoundError for an unknown order and DomainError
    for what its status forbids, to people; never for what other services say, however late or early.
    """
    return _DECIDE[type(command)](state, command)


def _place(state: Order, command: PlaceOrder) -> Sequence[OrderFact]:
    placed = _placed(command)
    if state.placed is None:
        return [placed]
    if not command.placed_at_given:
        placed = evolved(placed, placed_at=state.placed.placed_at)
    if placed != state.placed:
        raise ConflictError(f"order {command.order_id} exists with other content")
    return []


def _placed(command: PlaceOrder) -> OrderPlaced:
    nets = [(line.tax_rate_bp, line.quantity * line.unit_price_minor) for line in command.lines]
    net = sum(amount for _, amount in nets)
    tax = sum(tax for _, tax in tax_per_document(nets).values())
    return OrderPlaced(
        order_id=command.order_id,
        customer_id=command.customer_id,
        currency=command.currency,
        lines=command.lines,
        net_minor=net,
        tax_minor=tax,
        total_minor=net + tax,
        placed_at=command.placed_at.astimezone(UTC),
        payment_terms_days=command.payment_terms_days,
        prepaid=command.prepaid,
        ship_complete=command.ship_complete,
        invoice_on=command.invoice_on,
    )


def _confirm(state: Order, command: ConfirmOrder) -> Sequence[OrderFact]:
    placed = state.placed
    if placed is None:
        return []
    match state.status:
        case "placed":
            return [_confirmed(placed, command.at)]
        case "held":
            return [OrderReleased(placed.order_id, placed.customer_id), _confirmed(placed, command.at)]
        case _:
            return []


def _confirmed(placed: OrderPlaced, at: datetime) -> OrderConfirmed:
    return OrderConfirmed(
        order_id=placed.order_id,
        customer_id=placed.customer_id,
        currency=placed.currency,
        lines=placed.lines,
        net_minor=placed.net_minor,
        tax_minor=placed.tax_minor,
        total_minor=placed.total_minor,
        confirmed_at=at,
        payment_terms_days=placed.payment_terms_days,
        prepaid=placed.prepaid,
        ship_complete=placed.ship_complete,
        invoice_on=placed.invoice_on,
    )


def _hold(state: Order, command: HoldOrder) -> Sequence[OrderFact]:
    placed = state.placed
    waits = state.status == "placed" or (state.status == "held" and state.reason != command.reason)
    return [OrderHeld(placed.order_id, placed.customer_id, command.reason)] if placed and waits else []


def _reject(state: Order, command: RejectOrder) -> Sequence[OrderFact]:
    placed = _existing(state, command.order_id)
    match state.status:
        case "held":
            return [OrderRejected(placed.order_id, placed.customer_id, command.reasons)]
        case "rejected":
            return []
        case _:
            raise DomainError(f"only held orders can be rejected; this one is {state.status}", code="not_held")


def _cancel(state: Order, command: CancelOrder) -> Sequence[OrderFact]:
    placed = _existing(state, command.order_id)
    match state.status:
        case "placed" | "held":
            return [OrderCancelled(placed.order_id, placed.customer_id, command.reason)]
        case "confirmed" if not state.shipments:
            return [OrderCancellationRequested(placed.order_id, placed.customer_id, command.reason)]
        case "cancelling" | "cancelled":
            return []
        case "rejected":
            raise DomainError("the order is rejected already", code="rejected")
        case _:
            raise DomainError("goods have left the house; the way back is a return", code="already_shipped")


def _existing(state: Order, order_id: str) -> OrderPlaced:
    if state.placed is None:
        raise NotFoundError(f"there is no order {order_id}")
    return state.placed


def _finish_cancellation(state: Order, _: FinishCancellation) -> Sequence[OrderFact]:
    placed = state.placed
    if placed is None or state.status != "cancelling":
        return []
    return [OrderCancelled(placed.order_id, placed.customer_id, state.reason)]


def _refuse_cancellation(state: Order, command: RefuseCancellation) -> Sequence[OrderFact]:
    if state.status != "cancelling":
        return []
    return _with_completion(state, OrderCancellationRefused(command.reason))


def _note(state: Order, command: NoteProgress) -> Sequence[OrderFact]:
    progress = command.progress
    # Nobody can have done anything with an order before we have said that it was placed.
    if state.placed is None or _KNOWN[type(progress)](state, progress):
        return []
    return _with_completion(state, progress)


def _is_known_invoice(state: Order, invoice: InvoiceNoted) -> bool:
    known = state.invoices.get(invoice.invoice_id)
    return known is not None and known.issued


def _is_known_payment(state: Order, payment: InvoicePaymentNoted | InvoiceReopened) -> bool:
    known = state.invoices.get(payment.invoice_id)
    return known is not None and known.paid


_KNOWN: Mapping[type[Any], Callable[[Order, Any], bool]] = {
    AllocationNoted: lambda state, noted: noted.allocation == state.allocation,
    ShipmentNoted: lambda state, noted: noted.shipment_id in state.shipments,
    InvoiceNoted: _is_known_invoice,
    InvoicePaymentNoted: _is_known_payment,
    # Of an invoice that is not paid, more is due than before: it is open already.
    InvoiceReopened: lambda state, noted: not _is_known_payment(state, noted),
    CreditNoteNoted: lambda state, noted: noted.credit_note_id in state.credit_notes,
}


def _with_completion(state: Order, fact: Noted | OrderCancellationRefused) -> Sequence[OrderFact]:
    """The fact, and the completion of the order if it was the last thing that was missing."""
    after, placed = evolve(state, fact), state.placed
    done = after.shipped_fully and after.invoiced_fully and after.open_invoices == 0
    if placed is None or after.status != "confirmed" or not done:
        return [fact]
    return [fact, OrderCompleted(placed.order_id, placed.customer_id, placed.currency, placed.total_minor)]


_DECIDE: Mapping[type[Any], Callable[[Order, Any], Sequence[OrderFact]]] = {
    PlaceOrder: _place,
    ConfirmOrder: _confirm,
    HoldOrder: _hold,
    RejectOrder: _reject,
    CancelOrder: _cancel,
    FinishCancellation: _finish_cancellation,
    RefuseCancellation: _refuse_cancellation,
    NoteProgress: _note,
}

order: Decider[Order, OrderCommand, OrderFact] = Decider(
    name="order", initial=Order(), decide=decide, evolve=evolve, facts=tuple(_EVOLVE)
)
