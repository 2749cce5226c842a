"""What happens to one order in the warehouse, and what that adds up to: the facts and state of `fulfillment`."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, assert_never

from shared.eventsourced.facts import Fact, State, fact
from shared.values import Map, Value, evolved


class LineQuantity(Value, frozen=True, gc=False):
    """A quantity of one order line."""

    line_no: int
    sku: str
    quantity: int


class NamedLine(Value, frozen=True, gc=False):
    """A quantity of one order line as somebody outside names it, without its product."""

    line_no: int
    quantity: int


class ShipmentNotice(Value, frozen=True, gc=False):
    """What the warehouse said about a shipment. No lines: everything that is reserved; else sorted by line."""

    lines: tuple[NamedLine, ...]
    shipped_at: datetime
    carrier: str = ""
    tracking: str = ""


# ---- Facts


@fact("fulfillment.FulfillmentAccepted")
class FulfillmentAccepted(Fact, frozen=True, gc=False):
    """The confirmed order is known; its stock is asked for in the same transaction."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    ship_complete: bool


@fact("fulfillment.ShortageNoted")
class ShortageNoted(Fact, frozen=True, gc=False):
    """One product is short; the order's other products are still being asked for."""

    sku: str
    quantity: int


@fact("fulfillment.StockReserved")
class StockReserved(Fact, frozen=True, gc=False):
    """Stock is allocated to these lines. `complete`: whether the whole order is now reserved or shipped."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    complete: bool


@fact("fulfillment.Backordered")
class Backordered(Fact, frozen=True, gc=False):
    """These quantities wait for stock. `revoked`: they were reserved before, and a count found them missing."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    revoked: bool = False


@fact("fulfillment.ReservationReleased")
class ReservationReleased(Fact, frozen=True, gc=False):
    """The order was cancelled before anything shipped; `skus` are the products whose stock lets go of it."""

    order_id: str
    customer_id: str
    reason: str
    skus: tuple[str, ...]


@fact("fulfillment.OrderEnded")
class OrderEnded(Fact, frozen=True, gc=False):
    """The order was cancelled or rejected before it was confirmed: nothing of it is ever reserved or shipped."""

    order_id: str
    customer_id: str


@fact("fulfillment.CancellationRefused")
class CancellationRefused(Fact, frozen=True, gc=False):
    """Shipping was faster than the cancellation. `reason`: `shipped` or `shipment_waiting`."""

    order_id: str
    customer_id: str
    reason: str


@fact("fulfillment.ShipmentNoted")
class ShipmentNoted(Fact, frozen=True, gc=False):
    """A shipment was heard before the order or its stock; it is carried out when it can be."""

    shipment_id: str
    order_id: str
    notice: ShipmentNotice


@fact("fulfillment.ShipmentRejected")
class ShipmentRejected(Fact, frozen=True, gc=False):
    """A noted shipment can never be carried out.

    `reason`: `unknown_line`, `over_shipped`, `nothing_to_ship` or `order_cancelled`.
    """

    shipment_id: str
    order_id: str
    reason: str


@fact("fulfillment.Shipped")
class Shipped(Fact, frozen=True, gc=False):
    """Goods left the house. `final`: nothing remains to be shipped. `everything`: no lines had been named."""

    shipment_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    shipped_at: datetime
    final: bool
    carrier: str = ""
    tracking: str = ""
    everything: bool = False


@fact("fulfillment.Delivered")
class Delivered(Fact, frozen=True, gc=False):
    """The carrier says that the shipment arrived."""

    shipment_id: str
    order_id: str
    customer_id: str
    delivered_at: datetime


@fact("fulfillment.ReturnAuthorized")
class ReturnAuthorized(Fact, frozen=True, gc=False):
    """The customer may send these quantities back."""

    return_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    reason: str


@fact("fulfillment.ReturnReceived")
class ReturnReceived(Fact, frozen=True, gc=False):
    """Returned goods arrived, at most what was authorized; `restocked` says whether they can be sold again."""

    return_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    received_at: datetime
    restocked: bool


ReservationFact = (
    FulfillmentAccepted
    | ShortageNoted
    | StockReserved
    | Backordered
    | ReservationReleased
    | OrderEnded
    | CancellationRefused
)
ShipmentFact = ShipmentNoted | ShipmentRejected | Shipped | Delivered
ReturnFact = ReturnAuthorized | ReturnReceived
FulfillmentFact = ReservationFact | ShipmentFact | ReturnFact

# ---- State

Phase = Literal["unknown", "asking", "open", "cancelled"]
"""`unknown`: the confirmation was not heard; `asking`: stock is being asked (inside one transaction); then `open`.

`cancelled`: let go before anything shipped, or ended before it was confirmed.
"""

Status = Literal["waiting", "reserved", "backordered", "shipped", "cancelled"]
"""For people. `waiting`: something was heard before the confirmed order; `backordered`: something waits for stock."""


class LineProgress(State, frozen=True, gc=False):
    """How far one line has come. `returned` counts what is authorized to come back or came."""

    sku: str
    ordered: int
    reserved: int = 0
    shipped: int = 0
    returned: int = 0

    @property
    def unreserved(self) -> int:
        """What is neither reserved nor shipped."""
        return self.ordered - self.reserved - self.shipped


class Shipment(State, frozen=True, gc=False):
    """What the warehouse said and what became of it. `reason`: why it was rejected."""

    notice: ShipmentNotice
    status: Literal["waiting", "shipped", "rejected", "delivered"]
    lines: tuple[LineQuantity, ...] = ()
    delivered_at: datetime | None = None
    reason: str = ""


class Return(State, frozen=True, gc=False):
    """What may come back, and once it came: which of it, when, and whether it can be sold again."""

    authorized: tuple[LineQuantity, ...]
    reason: str
    received: tuple[LineQuantity, ...] = ()
    received_at: datetime | None = None
    restocked: bool = False


class Fulfillment(State, frozen=True, gc=False):
    """How far the order has come. `waiting`: shipments not yet carried out, in the order they were heard.

    `unreserved`, `reserved` and `shipped` are the sums over all lines; `short`: shortages noted while asking.
    """

    phase: Phase = "unknown"
    order_id: str = ""
    customer_id: str = ""
    ship_complete: bool = False
    unreserved: int = 0
    reserved: int = 0
    shipped: int = 0
    lines: Map[int, LineProgress] = Map()
    skus: Map[str, tuple[int, ...]] = Map()
    short: Map[str, int] = Map()
    shipments: Map[str, Shipment] = Map()
    waiting: tuple[str, ...] = ()
    returns: Map[str, Return] = Map()

    @property
    def status(self) -> Status:
        """How far the whole order has come."""
        if self.phase in ("unknown", "asking"):
            return "waiting"
        if self.phase == "cancelled":
            return "cancelled"
        if self.unreserved:
            return "backordered"
        return "reserved" if self.reserved else "shipped"


def evolve(state: Fulfillment, happened: FulfillmentFact) -> Fulfillment:
    match happened:
        case ShipmentNoted() | ShipmentRejected() | Shipped() | Delivered():
            return _evolve_shipments(state, happened)
        case ReturnAuthorized() | ReturnReceived():
            return _evolve_returns(state, happened)
        case _:
            return _evolve_reservation(state, happened)


def _evolve_reservation(state: Fulfillment, happened: ReservationFact) -> Fulfillment:
    match happened:
        case FulfillmentAccepted():
            return _accepted(state, happened)
        case ShortageNoted(sku, quantity):
            return evolved(state, short=state.short.set(sku, quantity))
        case StockReserved():
            return _reserved(state, happened.lines, 1)
        case Backordered():
            return _reserved(state, happened.lines if happened.revoked else (), -1)
        case ReservationReleased():
            return _released(state, happened)
        case OrderEnded(order_id, customer_id):
            return evolved(state, phase="cancelled", order_id=order_id, customer_id=customer_id)
        case CancellationRefused(order_id, customer_id):
            return evolved(state, order_id=order_id, customer_id=customer_id)
        case _:
            assert_never(happened)


def _evolve_shipments(state: Fulfillment, happened: ShipmentFact) -> Fulfillment:
    match happened:
        case Shipped():
            return _shipped(state, happened)
        case ShipmentNoted(shipment_id, order_id, notice):
            shipments = state.shipments.set(shipment_id, Shipment(notice, "waiting"))
            return evolved(state, order_id=order_id, shipments=shipments, waiting=(*state.waiting, shipment_id))
        case ShipmentRejected(shipment_id, reason=reason):
            rejected = evolved(state.shipments[shipment_id], status="rejected", reason=reason)
            return _no_longer_waiting(state, shipment_id, rejected)
        case Delivered(shipment_id, delivered_at=at):
            delivered = evolved(state.shipments[shipment_id], status="delivered", delivered_at=at)
            return evolved(state, shipments=state.shipments.set(shipment_id, delivered))
        case _:
            assert_never(happened)


def _evolve_returns(state: Fulfillment, happened: ReturnFact) -> Fulfillment:
    match happened:
        case ReturnAuthorized(return_id, lines=lines, reason=reason):
            returns = state.returns.set(return_id, Return(lines, reason))
            return evolved(state, lines=_returned(state, lines, 1), returns=returns)
        case ReturnReceived():
            return _return_received(state, happened)
        case _:
            assert_never(happened)


def _accepted(state: Fulfillment, happened: FulfillmentAccepted) -> Fulfillment:
    skus: dict[str, tuple[int, ...]] = {}
    for line in happened.lines:
        skus[line.sku] = (*skus.get(line.sku, ()), line.line_no)
    return evolved(
        state,
        phase="asking",
        order_id=happened.order_id,
        customer_id=happened.customer_id,
        ship_complete=happened.ship_complete,
        unreserved=sum([line.quantity for line in happened.lines]),
        lines=Map({line.line_no: LineProgress(line.sku, line.quantity) for line in happened.lines}),
        skus=Map(skus),
    )


def _reserved(state: Fulfillment, lines: Iterable[LineQuantity], sign: int) -> Fulfillment:
    progress, total = state.lines, 0
    for line in lines:
        quantity = sign * line.quantity
        known = progress[line.line_no]
        progress = progress.set(line.line_no, evolved(known, reserved=known.reserved + quantity))
        total += quantity
    return evolved(
        state,
        phase="open",
        unreserved=state.unreserved - total,
        reserved=state.reserved + total,
        lines=progress,
        short=Map(),
    )


def _shipped(state: Fulfillment, happened: Shipped) -> Fulfillment:
    progress, total = state.lines, 0
    for line in happened.lines:
        known, quantity = progress[line.line_no], line.quantity
        progress = progress.set(
            line.line_no, evolved(known, reserved=known.reserved - quantity, shipped=known.shipped + quantity)
        )
        total += quantity
    state = evolved(state, reserved=state.reserved - total, shipped=state.shipped + total, lines=progress)
    named = () if happened.everything else tuple([NamedLine(line.line_no, line.quantity) for line in happened.lines])
    notice = ShipmentNotice(named, happened.shipped_at, happened.carrier, happened.tracking)
    return _no_longer_waiting(state, happened.shipment_id, Shipment(notice, "shipped", happened.lines))


def _no_longer_waiting(state: Fulfillment, shipment_id: str, shipment: Shipment) -> Fulfillment:
    waiting = state.waiting and tuple([other for other in state.waiting if other != shipment_id])
    return evolved(state, shipments=state.shipments.set(shipment_id, shipment), waiting=waiting)


def _released(state: Fulfillment, happened: ReservationReleased) -> Fulfillment:
    progress = Map({line_no: evolved(line, reserved=0) for line_no, line in state.lines.items()})
    return evolved(
        state,
        phase="cancelled",
        order_id=happened.order_id,
        customer_id=happened.customer_id,
        unreserved=0,
        reserved=0,
        lines=progress,
        short=Map(),
    )


def _returned(state: Fulfillment, lines: Iterable[LineQuantity], sign: int) -> Map[int, LineProgress]:
    progress = state.lines
    for line in lines:
        known = progress[line.line_no]
        progress = progress.set(line.line_no, evolved(known, returned=known.returned + sign * line.quantity))
    return progress


def _return_received(state: Fulfillment, happened: ReturnReceived) -> Fulfillment:
    known = state.returns[happened.return_id]
    came = {line.line_no: line.quantity for line in happened.lines}
    # What was authorized and did not come may be authorized again.
    kept = [LineQuantity(a.line_no, a.sku, a.quantity - came.get(a.line_no, 0)) for a in known.authorized]
    received = evolved(known, received=happened.lines, received_at=happened.received_at, restocked=happened.restocked)
    return evolved(state, lines=_returned(state, kept, -1), returns=state.returns.set(happened.return_id, received))
