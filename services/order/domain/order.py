"""The life of an order, from placed to completed. Stream: `order-{order_id}`.

The order is the process manager of the cycle: it waits for credit, lets the others begin by being confirmed, and is
completed by what they say in whatever order that arrives.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, assert_never

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
    """An invoice of the order. `issued`: billing was heard; `paid`: receivables were, perhaps before."""

    number: str
    total_minor: int
    issued: bool
    paid: bool


class Order(State, frozen=True, gc=False):
    """`reason`: why it is held, cancelling, cancelled or rejected. `shipped`: line number → quantity that left.

    `open_invoices`: how many were issued and not paid. `shipped_fully`, `invoiced_fully`: the final one was heard.
    `credit_notes`: id → number.
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
    paid_minor: int = 0
    credited_minor: int = 0


def evolve(state: Order, fact: OrderFact) -> Order:
    """The order after this fact."""
    match fact:
        case OrderPlaced():
            return evolved(state, status="placed", placed=fact)
        case OrderConfirmed(confirmed_at=at):
            return evolved(state, status="confirmed", reason="", confirmed_at=at)
        case (
            AllocationNoted() | ShipmentNoted() | InvoiceNoted() | InvoicePaymentNoted() | CreditNoteNoted()
        ) as progress:
            return _progressed(state, progress)
        case OrderCompleted():
            return evolved(state, status="completed")
        case OrderHeld(reason=reason):
            return evolved(state, status="held", reason=reason)
        case OrderReleased():
            return evolved(state, status="placed", reason="")
        case OrderRejected() | OrderCancellationRequested() | OrderCancellationRefused() | OrderCancelled():
            return _ended(state, fact)
        case _:
            assert_never(fact)


def _ended(
    state: Order, fact: OrderRejected | OrderCancellationRequested | OrderCancellationRefused | OrderCancelled
) -> Order:
    match fact:
        case OrderRejected(reasons=reasons):
            return evolved(state, status="rejected", reason="; ".join(reasons))
        case OrderCancellationRequested(reason=reason):
            return evolved(state, status="cancelling", reason=reason)
        case OrderCancellationRefused():
            return evolved(state, status="confirmed", reason="")
        case OrderCancelled(reason=reason):
            return evolved(state, status="cancelled", reason=reason)
        case _:
            assert_never(fact)


def _progressed(state: Order, progress: Noted) -> Order:
    match progress:
        case AllocationNoted(allocation=allocation):
            return evolved(state, allocation=allocation)
        case ShipmentNoted():
            return _shipped(state, progress)
        case InvoiceNoted(invoice_id=invoice_id, number=number, total_minor=total):
            # An invoice over nothing is never paid: nothing is due on it from the beginning.
            paid = total == 0 or invoice_id in state.invoices
            return evolved(
                state,
                invoices=state.invoices.set(invoice_id, Invoice(number, total, True, paid)),
                open_invoices=state.open_invoices + (not paid),
                invoiced_minor=state.invoiced_minor + total,
                invoiced_fully=state.invoiced_fully or progress.final,
            )
        case InvoicePaymentNoted(invoice_id=invoice_id, number=number, total_minor=total):
            issued = invoice_id in state.invoices
            return evolved(
                state,
                invoices=state.invoices.set(invoice_id, Invoice(number, total, issued, True)),
                open_invoices=state.open_invoices - issued,
                paid_minor=state.paid_minor + total,
            )
        case CreditNoteNoted(credit_note_id=credit_note_id, number=number, total_minor=total):
            credit_notes = state.credit_notes.set(credit_note_id, number)
            return evolved(state, credit_notes=credit_notes, credited_minor=state.credited_minor + total)
        case _:
            assert_never(progress)


def _shipped(state: Order, shipment: ShipmentNoted) -> Order:
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


# ---- Decisions


def decide(state: Order, command: OrderCommand) -> Sequence[OrderFact]:
    """What a command leads to.

    Raises ConflictError when an order id comes with other content, NotFoundError for an unknown order and DomainError
    for what its status forbids, to people; never for what other services say, however late or early.
    """
    if isinstance(command, PlaceOrder):
        return _place(state, command)
    if isinstance(command, CancelOrder):
        return _cancel(state, command)
    if isinstance(command, RejectOrder):
        return _reject(state, command)
    if state.placed is None:
        return []  # Nobody can say anything about an order before we have said that it was placed.
    match command:
        case NoteProgress(progress=progress):
            return [] if _known(state, progress) else _with_completion(state, progress)
        case ConfirmOrder(at=at):
            return _confirm(state, state.placed, at)
        case HoldOrder(reason=reason):
            return _hold(state, state.placed, reason)
        case FinishCancellation():
            placed, cancelling = state.placed, state.status == "cancelling"
            return [OrderCancelled(placed.order_id, placed.customer_id, state.reason)] if cancelling else []
        case RefuseCancellation(reason=reason):
            cancelling = state.status == "cancelling"
            return _with_completion(state, OrderCancellationRefused(reason)) if cancelling else []
        case _:
            assert_never(command)


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


def _confirm(state: Order, placed: OrderPlaced, at: datetime) -> Sequence[OrderFact]:
    match state.status:
        case "placed":
            return [_confirmed(placed, at)]
        case "held":
            return [OrderReleased(placed.order_id, placed.customer_id), _confirmed(placed, at)]
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


def _hold(state: Order, placed: OrderPlaced, reason: str) -> Sequence[OrderFact]:
    waits = state.status == "placed" or (state.status == "held" and state.reason != reason)
    return [OrderHeld(placed.order_id, placed.customer_id, reason)] if waits else []


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


def _known(state: Order, progress: Noted) -> bool:
    match progress:
        case AllocationNoted(allocation=allocation):
            return allocation == state.allocation
        case ShipmentNoted(shipment_id=shipment_id):
            return shipment_id in state.shipments
        case InvoiceNoted(invoice_id=invoice_id):
            invoice = state.invoices.get(invoice_id)
            return invoice is not None and invoice.issued
        case InvoicePaymentNoted(invoice_id=invoice_id):
            invoice = state.invoices.get(invoice_id)
            return invoice is not None and invoice.paid
        case CreditNoteNoted(credit_note_id=credit_note_id):
            return credit_note_id in state.credit_notes
        case _:
            assert_never(progress)


def _with_completion(state: Order, fact: Noted | OrderCancellationRefused) -> Sequence[OrderFact]:
    """The fact, and the completion of the order if it was the last thing that was missing."""
    after, placed = evolve(state, fact), state.placed
    done = after.shipped_fully and after.invoiced_fully and after.open_invoices == 0
    if placed is None or after.status != "confirmed" or not done:
        return [fact]
    return [fact, OrderCompleted(placed.order_id, placed.customer_id, placed.currency, placed.total_minor)]


order: Decider[Order, OrderCommand, OrderFact] = Decider(
    name="order",
    initial=Order(),
    decide=decide,
    evolve=evolve,
    facts=(
        OrderPlaced,
        OrderHeld,
        OrderReleased,
        OrderConfirmed,
        OrderRejected,
        OrderCancellationRequested,
        OrderCancellationRefused,
        OrderCancelled,
        AllocationNoted,
        ShipmentNoted,
        InvoiceNoted,
        InvoicePaymentNoted,
        CreditNoteNoted,
        OrderCompleted,
    ),
)
