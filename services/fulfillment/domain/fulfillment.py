"""Carries one order through the warehouse: reserve, ship, deliver, take back. Stream: fulfillment-{order_id}.

Promise: never ships more than is reserved or ordered, cancels or ships but never both, and takes back at most what
was shipped. What is heard too early is noted and carried out when it can be.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from services.fulfillment.domain.fulfillment_state import (
    Backordered,
    CancellationRefused,
    Delivered,
    Fulfillment,
    FulfillmentAccepted,
    FulfillmentFact,
    LineQuantity,
    NamedLine,
    OrderEnded,
    ReservationReleased,
    ReturnAuthorized,
    ReturnReceived,
    ShipmentNoted,
    ShipmentNotice,
    ShipmentRejected,
    Shipped,
    ShortageNoted,
    StockReserved,
    evolve,
)
from shared.errors import ConflictError, DomainError, NotFoundError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command

# ---- Commands


class AcceptOrder(Command, frozen=True, gc=False):
    """Reserve stock for a confirmed order."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    ship_complete: bool


class NoteShortage(Command, frozen=True, gc=False):
    """A stock that was asked, but not as the last one, is short by this quantity."""

    sku: str
    quantity: int


class ConcludeAllocation(Command, frozen=True, gc=False):
    """The last stock has answered: it is short by `backordered`, possibly 0; all other shortages are noted."""

    sku: str
    backordered: int


class ReserveBackordered(Command, frozen=True, gc=False):
    """Stock came for what this order was waiting for."""

    sku: str
    quantity: int


class RevokeAllocation(Command, frozen=True, gc=False):
    """A count found that this much of what the order holds does not exist."""

    sku: str
    quantity: int


class CancelFulfillment(Command, frozen=True, gc=False):
    """Let the order go, if nothing has shipped."""

    order_id: str
    customer_id: str
    reason: str


class EndOrder(Command, frozen=True, gc=False):
    """The order was cancelled or rejected; if it was never confirmed, nobody has told the warehouse yet."""

    order_id: str
    customer_id: str


class RecordShipment(Command, frozen=True, gc=False):
    """The warehouse says that goods left the house."""

    shipment_id: str
    order_id: str
    notice: ShipmentNotice


class ConfirmDelivery(Command, frozen=True, gc=False):
    """The carrier says that a shipment arrived."""

    shipment_id: str
    order_id: str
    delivered_at: datetime


class AuthorizeReturn(Command, frozen=True, gc=False):
    """Let the customer send back these quantities. Lines are sorted."""

    return_id: str
    order_id: str
    lines: tuple[NamedLine, ...]
    reason: str


class ReceiveReturn(Command, frozen=True, gc=False):
    """Returned goods arrived; no lines: everything that was authorized, else sorted by line."""

    return_id: str
    order_id: str
    lines: tuple[NamedLine, ...]
    received_at: datetime
    restocked: bool


ReservationCommand = (
    AcceptOrder
    | NoteShortage
    | ConcludeAllocation
    | ReserveBackordered
    | RevokeAllocation
    | CancelFulfillment
    | EndOrder
)
ShipmentCommand = RecordShipment | ConfirmDelivery
ReturnCommand = AuthorizeReturn | ReceiveReturn
FulfillmentCommand = ReservationCommand | ShipmentCommand | ReturnCommand


# ---- Decisions


def decide(state: Fulfillment, command: FulfillmentCommand) -> Sequence[FulfillmentFact]:
    match command:
        case RecordShipment():
            return _record_shipment(state, command)
        case ConfirmDelivery():
            return _confirm_delivery(state, command)
        case AuthorizeReturn():
            return _authorize_return(state, command)
        case ReceiveReturn():
            return _receive_return(state, command)
        case _:
            return _decide_reservation(state, command)


def _decide_reservation(state: Fulfillment, command: ReservationCommand) -> Sequence[FulfillmentFact]:
    match state.phase, command:
        case "unknown", AcceptOrder(order_id, customer_id, lines, ship_complete):
            return [FulfillmentAccepted(order_id, customer_id, lines, ship_complete)]
        case "asking", NoteShortage(sku, quantity):
            return [ShortageNoted(sku, quantity)]
        case "asking", ConcludeAllocation():
            return _conclude(state, command)
        case "open", ReserveBackordered(sku, quantity):
            return _reserve_backordered(state, sku, quantity)
        case "open", RevokeAllocation(sku, quantity):
            return _revoke(state, sku, quantity)
        case (("unknown" | "asking" | "open"), CancelFulfillment()):
            return _cancel(state, command)
        # The end has the confirmation's speaker and key: not confirmed by now is never confirmed. And a confirmed order
        # ends only after it was let go here: then there is nothing to do.
        case "unknown", EndOrder():
            return _end(state, command)
        case _:
            return []  # a repeat, or the order was cancelled first


# ---- Reserving


def _conclude(state: Fulfillment, command: ConcludeAllocation) -> Sequence[FulfillmentFact]:
    short = dict(state.short)
    if command.backordered:
        short[command.sku] = command.backordered
    missing = {q.line_no: q.quantity for sku in short for q in _last_lines_first(state, sku, short[sku])}
    reserved, waiting = [], []
    for line_no, line in sorted(state.lines.items()):
        absent = missing.get(line_no, 0)
        if absent < line.ordered:
            reserved.append(LineQuantity(line_no, line.sku, line.ordered - absent))
        if absent:
            waiting.append(LineQuantity(line_no, line.sku, absent))
    facts: list[FulfillmentFact] = []
    if reserved:
        facts.append(StockReserved(state.order_id, state.customer_id, tuple(reserved), not waiting))
    if waiting:
        facts.append(Backordered(state.order_id, state.customer_id, tuple(waiting)))
    return _then_carry_out(state, facts)


def _last_lines_first(state: Fulfillment, sku: str, short: int) -> Iterable[LineQuantity]:
    """Which lines of a product go without when it is short: the last first, as the first are served first."""
    for line_no in reversed(state.skus[sku]):
        quantity = min(short, state.lines[line_no].ordered)
        if quantity:
            yield LineQuantity(line_no, sku, quantity)
        short -= quantity


def _reserve_backordered(state: Fulfillment, sku: str, quantity: int) -> Sequence[FulfillmentFact]:
    lines, left = [], quantity
    for line_no in state.skus[sku]:
        taken = min(left, state.lines[line_no].unreserved)
        if taken:
            lines.append(LineQuantity(line_no, sku, taken))
        left -= taken
    assert left == 0, "a stock gave more than the order waits for"
    complete = state.unreserved == quantity
    return _then_carry_out(state, [StockReserved(state.order_id, state.customer_id, tuple(lines), complete)])


def _revoke(state: Fulfillment, sku: str, quantity: int) -> Sequence[FulfillmentFact]:
    lines, left = [], quantity
    for line_no in reversed(state.skus[sku]):
        taken = min(left, state.lines[line_no].reserved)
        if taken:
            lines.append(LineQuantity(line_no, sku, taken))
        left -= taken
    assert left == 0, "a stock takes back more than the order holds"
    return [Backordered(state.order_id, state.customer_id, tuple(reversed(lines)), revoked=True)]


def _cancel(state: Fulfillment, command: CancelFulfillment) -> Sequence[FulfillmentFact]:
    order_id, customer_id = command.order_id, command.customer_id
    if state.waiting:
        # The warehouse says the goods are gone already, so a person must ask for them back.
        return [CancellationRefused(order_id, customer_id, "shipment_waiting")]
    if state.shipped:
        return [CancellationRefused(order_id, customer_id, "shipped")]
    return [ReservationReleased(order_id, customer_id, command.reason, tuple(sorted(state.skus)))]


def _end(state: Fulfillment, command: EndOrder) -> Sequence[FulfillmentFact]:
    ended = OrderEnded(command.order_id, command.customer_id)
    return [ended, *(ShipmentRejected(waiting, command.order_id, ORDER_CANCELLED) for waiting in state.waiting)]


# ---- Shipping

ORDER_CANCELLED = "order_cancelled"
"""Goods left for an order that had ended: why their shipment is refused, whenever it is heard."""


def _record_shipment(state: Fulfillment, command: RecordShipment) -> Sequence[FulfillmentFact]:
    shipment_id, order_id, notice = command.shipment_id, command.order_id, command.notice
    known = state.shipments.get(shipment_id)
    if known is not None:
        if known.notice == notice:
            return []
        raise ConflictError(f"shipment {shipment_id} of order {order_id} was recorded with other content")
    if state.phase == "cancelled":
        raise DomainError(f"order {order_id} was cancelled or rejected before {shipment_id}", code=ORDER_CANCELLED)
    if state.phase != "open":
        return [ShipmentNoted(shipment_id, order_id, notice)]
    claims = _claims(state)
    refusal = _refusal(state, notice, claims)
    if refusal:
        raise DomainError(f"shipment {shipment_id} of order {order_id}: {_REFUSALS[refusal]}", code=refusal)
    shipped = _shipped(state, shipment_id, notice, claims)
    return [shipped or ShipmentNoted(shipment_id, order_id, notice)]


_REFUSALS: Mapping[str, str] = {
    "unknown_line": "the order has no such line",
    "over_shipped": "more than was ordered and is not yet shipped or said to be",
    "nothing_to_ship": "everything that was ordered is shipped or said to be",
}


def _claims(state: Fulfillment) -> dict[int, int]:
    """What waiting shipments have named, by line: it cannot be shipped twice."""
    claims: dict[int, int] = {}
    for shipment_id in state.waiting:
        _claim(claims, state.shipments[shipment_id].notice)
    return claims


def _claim(claims: dict[int, int], notice: ShipmentNotice) -> None:
    for line in notice.lines:
        claims[line.line_no] = claims.get(line.line_no, 0) + line.quantity


def _refusal(state: Fulfillment, notice: ShipmentNotice, claims: Mapping[int, int]) -> str:
    """Why this can never be shipped; "" when it can, now or later."""
    if not notice.lines:
        return "" if state.unreserved + state.reserved > sum(claims.values()) else "nothing_to_ship"
    if any([line.line_no not in state.lines for line in notice.lines]):
        return "unknown_line"
    over = [line for line in notice.lines if line.quantity > _unclaimed(state, line.line_no, claims)]
    return "over_shipped" if over else ""


def _unclaimed(state: Fulfillment, line_no: int, claims: Mapping[int, int]) -> int:
    line = state.lines[line_no]
    return line.ordered - line.shipped - claims.get(line_no, 0)


def _shipped(state: Fulfillment, shipment_id: str, notice: ShipmentNotice, claims: Mapping[int, int]) -> Shipped | None:
    """The shipment carried out, if what is reserved allows it now."""
    lines = _shippable(state, notice, claims)
    if not lines:
        return None
    total = sum([line.quantity for line in lines])
    return Shipped(
        shipment_id,
        state.order_id,
        state.customer_id,
        lines,
        notice.shipped_at,
        final=state.unreserved + state.reserved == total,
        carrier=notice.carrier,
        tracking=notice.tracking,
        everything=not notice.lines,
    )


def _shippable(state: Fulfillment, notice: ShipmentNotice, claims: Mapping[int, int]) -> tuple[LineQuantity, ...]:
    """The named lines if all of them are reserved; without names all that is reserved and nobody else has named."""
    if state.ship_complete and state.unreserved:
        return ()
    if notice.lines:
        if any([line.quantity > state.lines[line.line_no].reserved for line in notice.lines]):
            return ()
        return tuple([LineQuantity(n.line_no, state.lines[n.line_no].sku, n.quantity) for n in notice.lines])
    reserved = [
        LineQuantity(line_no, line.sku, min(line.reserved, _unclaimed(state, line_no, claims)))
        for line_no, line in sorted(state.lines.items())
    ]
    return tuple([line for line in reserved if line.quantity])


def _then_carry_out(state: Fulfillment, facts: list[FulfillmentFact]) -> Sequence[FulfillmentFact]:
    """These facts, and then what becomes of waiting shipments, in the order they were heard."""
    if not state.waiting:
        return facts
    state = fulfillment.fold(facts, state)
    claims: dict[int, int] = {}
    for shipment_id in state.waiting:
        notice = state.shipments[shipment_id].notice
        outcome = _outcome(state, shipment_id, notice, claims)
        if outcome is None:
            _claim(claims, notice)
        else:
            facts.append(outcome)
            state = evolve(state, outcome)
    return facts


def _outcome(
    state: Fulfillment, shipment_id: str, notice: ShipmentNotice, claims: Mapping[int, int]
) -> Shipped | ShipmentRejected | None:
    refusal = _refusal(state, notice, claims)
    if refusal:
        return ShipmentRejected(shipment_id, state.order_id, refusal)
    return _shipped(state, shipment_id, notice, claims)


def _confirm_delivery(state: Fulfillment, command: ConfirmDelivery) -> Sequence[FulfillmentFact]:
    shipment_id, order_id, delivered_at = command.shipment_id, command.order_id, command.delivered_at
    known = state.shipments.get(shipment_id)
    if known is None:
        raise NotFoundError(f"order {order_id} has no shipment {shipment_id}")
    if known.delivered_at == delivered_at:
        return []
    if known.delivered_at is not None:
        raise ConflictError(f"shipment {shipment_id} was delivered at another instant")
    if known.status != "shipped":
        raise DomainError(f"shipment {shipment_id} has not shipped", code="not_shipped")
    return [Delivered(shipment_id, order_id, state.customer_id, delivered_at)]


# ---- Returns


def _authorize_return(state: Fulfillment, command: AuthorizeReturn) -> Sequence[FulfillmentFact]:
    return_id, order_id = command.return_id, command.order_id
    known = state.returns.get(return_id)
    if known is not None:
        if known.reason == command.reason and _named(known.authorized) == command.lines:
            return []
        raise ConflictError(f"return {return_id} of order {order_id} was authorized with other content")
    if not state.lines:
        raise NotFoundError(f"order {order_id} is not known to the warehouse")
    for line in command.lines:
        progress = state.lines.get(line.line_no)
        if progress is None:
            raise DomainError(f"order {order_id} has no line {line.line_no}", code="unknown_line")
        if line.quantity > progress.shipped - progress.returned:
            left = progress.shipped - progress.returned
            raise DomainError(f"line {line.line_no}: only {left} can still come back", code="over_returned")
    lines = tuple([LineQuantity(n.line_no, state.lines[n.line_no].sku, n.quantity) for n in command.lines])
    return [ReturnAuthorized(return_id, order_id, state.customer_id, lines, command.reason)]


def _receive_return(state: Fulfillment, command: ReceiveReturn) -> Sequence[FulfillmentFact]:
    return_id, order_id = command.return_id, command.order_id
    known = state.returns.get(return_id)
    if known is None:
        raise NotFoundError(f"order {order_id} has no return {return_id}")
    named = command.lines or _named(known.authorized)
    if known.received_at is not None:
        came = (_named(known.received), known.received_at, known.restocked)
        if came == (named, command.received_at, command.restocked):
            return []
        raise ConflictError(f"return {return_id} was received with other content")
    authorized = {line.line_no: line for line in known.authorized}
    for line in named:
        if line.line_no not in authorized or line.quantity > authorized[line.line_no].quantity:
            raise DomainError(f"line {line.line_no}: more than was authorized to come back", code="over_returned")
    lines = tuple([LineQuantity(n.line_no, authorized[n.line_no].sku, n.quantity) for n in named])
    return [
        ReturnReceived(return_id, order_id, state.customer_id, lines, command.received_at, command.restocked),
    ]


def _named(lines: Iterable[LineQuantity]) -> tuple[NamedLine, ...]:
    return tuple([NamedLine(line.line_no, line.quantity) for line in lines])


fulfillment: Decider[Fulfillment, FulfillmentCommand, FulfillmentFact] = Decider(
    name="fulfillment",
    initial=Fulfillment(),
    decide=decide,
    evolve=evolve,
    facts=(
        FulfillmentAccepted,
        ShortageNoted,
        StockReserved,
        Backordered,
        ReservationReleased,
        OrderEnded,
        CancellationRefused,
        ShipmentNoted,
        ShipmentRejected,
        Shipped,
        Delivered,
        ReturnAuthorized,
        ReturnReceived,
    ),
)
