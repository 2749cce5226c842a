"""When this happens elsewhere, fulfillment does that; and how its orders and stocks answer each other.

An order asks all its stocks in one round. Only stocks that are short answer, and the last one asked always answers,
after the others because a round's commands are decided in order: so the order records all answers with one fact.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from services.fulfillment.domain.adjustment import AdjustmentRegistered
from services.fulfillment.domain.checks import receipt_command, shipment_command
from services.fulfillment.domain.fulfillment import (
    AcceptOrder,
    CancelFulfillment,
    ConcludeAllocation,
    EndOrder,
    NoteShortage,
    ReserveBackordered,
    RevokeAllocation,
    fulfillment,
)
from services.fulfillment.domain.fulfillment_state import (
    FulfillmentAccepted,
    LineQuantity,
    ReservationReleased,
    ReturnReceived,
    Shipped,
)
from services.fulfillment.domain.receipt import ReceiptRegistered, receipt
from services.fulfillment.domain.stock import (
    AdjustStock,
    AllocateStock,
    AllocationsRevoked,
    BackordersFilled,
    FillBackorders,
    IssueStock,
    ReceiveStock,
    ReleaseStock,
    Restock,
    StockAllocated,
    stock,
)
from shared.contracts.inbound import Receipt, Shipment
from shared.contracts.orders import OrderCancellationRequested, OrderCancelled, OrderConfirmed, OrderRejected
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.policy import Heard, Hears

# ---- What is heard


def on_order_confirmed(message: OrderConfirmed, _: Heard) -> Sequence[To[Any]]:
    """Reserve stock for the order."""
    lines = tuple([LineQuantity(line.line_no, line.sku, line.quantity) for line in message.lines])
    command = AcceptOrder(message.order_id, message.customer_id, lines, message.ship_complete)
    return [To(fulfillment, message.order_id, command)]


def on_cancellation_requested(message: OrderCancellationRequested, _: Heard) -> Sequence[To[Any]]:
    """Let the order go, or say that shipping was faster."""
    command = CancelFulfillment(message.order_id, message.customer_id, message.reason)
    return [To(fulfillment, message.order_id, command)]


def on_order_ended(message: OrderCancelled | OrderRejected, _: Heard) -> Sequence[To[Any]]:
    """Let nothing wait for an order that will never be confirmed."""
    return [To(fulfillment, message.order_id, EndOrder(message.order_id, message.customer_id))]


def on_shipment(message: Shipment, _: Heard) -> Sequence[To[Any]]:
    """Carry out what the warehouse did. Raises ContractError with every problem of the message."""
    lines = [(line.line_no, line.quantity) for line in message.lines]
    command = shipment_command(
        message.shipment_id, message.order_id, lines, message.shipped_at, message.carrier, message.tracking
    )
    return [To(fulfillment, command.order_id, command)]


def on_receipt(message: Receipt, _: Heard) -> Sequence[To[Any]]:
    """Take goods in. Raises ContractError with every problem of the message."""
    command = receipt_command(message.receipt_id, message.sku, message.quantity)
    return [To(receipt, command.receipt_id, command)]


HEARS: Hears = {
    OrderConfirmed: on_order_confirmed,
    OrderCancellationRequested: on_cancellation_requested,
    OrderCancelled: on_order_ended,
    OrderRejected: on_order_ended,
    Shipment: on_shipment,
    Receipt: on_receipt,
}

# ---- What follows from own facts


def _ask_stocks(fact: FulfillmentAccepted) -> Iterable[To[Any]]:
    wanted = _per_sku(fact.lines)
    last = len(wanted) - 1
    return [
        To(stock, sku, AllocateStock(sku, fact.order_id, quantity, last=i == last))
        for i, (sku, quantity) in enumerate(wanted.items())
    ]


def _answer_order(fact: StockAllocated) -> Iterable[To[Any]]:
    if fact.last:
        return [To(fulfillment, fact.order_id, ConcludeAllocation(fact.sku, fact.backordered))]
    if fact.backordered:
        return [To(fulfillment, fact.order_id, NoteShortage(fact.sku, fact.backordered))]
    return ()


def _tell_filled(fact: BackordersFilled) -> Iterable[To[Any]]:
    told = [To(fulfillment, f.order_id, ReserveBackordered(fact.sku, f.quantity)) for f in fact.fills]
    if fact.follow_ups:
        return [*told, To(stock, fact.sku, FillBackorders(fact.sku, fact.follow_ups - 1))]
    return told


def _tell_revoked(fact: AllocationsRevoked) -> Iterable[To[Any]]:
    return [To(fulfillment, loss.order_id, RevokeAllocation(fact.sku, loss.quantity)) for loss in fact.revoked]


def _release_stocks(fact: ReservationReleased) -> Iterable[To[Any]]:
    return [To(stock, sku, ReleaseStock(sku, fact.order_id)) for sku in fact.skus]


def _issue_stocks(fact: Shipped) -> Iterable[To[Any]]:
    shipped = _per_sku(fact.lines).items()
    return [To(stock, sku, IssueStock(sku, fact.order_id, quantity)) for sku, quantity in shipped]


def _restock(fact: ReturnReceived) -> Iterable[To[Any]]:
    returned = _per_sku(fact.lines).items() if fact.restocked else ()
    return [To(stock, sku, Restock(sku, quantity, fact.order_id, fact.return_id)) for sku, quantity in returned]


def _receive(fact: ReceiptRegistered) -> Iterable[To[Any]]:
    return [To(stock, fact.sku, ReceiveStock(fact.sku, fact.quantity, fact.receipt_id))]


def _adjust(fact: AdjustmentRegistered) -> Iterable[To[Any]]:
    command = AdjustStock(fact.sku, fact.quantity_delta, fact.reason, fact.adjustment_id)
    return [To(stock, fact.sku, command)]


def _per_sku(lines: Iterable[LineQuantity]) -> dict[str, int]:
    """Each product once, with its sum over all lines: two lines cannot both get the last piece."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    return wanted


_REACTIONS: Mapping[type[Any], Callable[[Any], Iterable[To[Any]]]] = {
    FulfillmentAccepted: _ask_stocks,
    StockAllocated: _answer_order,
    BackordersFilled: _tell_filled,
    AllocationsRevoked: _tell_revoked,
    ReservationReleased: _release_stocks,
    Shipped: _issue_stocks,
    ReturnReceived: _restock,
    ReceiptRegistered: _receive,
    AdjustmentRegistered: _adjust,
}


def react(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
    """What other aggregates of this service do next, in the same transaction."""
    commands: list[To[Any]] = []
    for recorded in facts:
        reaction = _REACTIONS.get(type(recorded.fact))
        if reaction is not None:
            commands.extend(reaction(recorded.fact))
    return commands
