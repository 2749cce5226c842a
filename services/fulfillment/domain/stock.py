"""The stock of one product: what is on hand, which orders hold it and which wait for it. Stream: stock-{sku}.

Promise: 0 ≤ reserved ≤ on hand after every command, and who came first is served first. One command fills at most
FILLS_MAX waiting orders; the rest is filled by follow-up commands, and beyond their bound by those that are due.
"""

from collections.abc import Sequence
from typing import assert_never

from services.fulfillment.domain.queue import NOBODY, Queue
from shared.errors import DomainError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact
from shared.values import Value, evolved

FILLS_MAX = 200
"""Waiting orders that one command may fill: each costs a command to its order in the same transaction."""

FOLLOW_UPS_MAX = 4
"""Follow-up commands that may fill further orders in the same transaction. The engine allows eight rounds: request,
stock, four follow-ups, the last orders filled, and the issue of what these had waiting to ship."""


class OrderQuantity(Value, frozen=True, gc=False):
    """A quantity of this product for one order."""

    order_id: str
    quantity: int


# ---- Facts


@fact("fulfillment.StockReceived")
class StockReceived(Fact, frozen=True, gc=False):
    """Goods came in."""

    sku: str
    quantity: int
    receipt_id: str


@fact("fulfillment.StockAdjusted")
class StockAdjusted(Fact, frozen=True, gc=False):
    """A count found more (positive) or less (negative) than the books said."""

    sku: str
    quantity_delta: int
    reason: str
    adjustment_id: str


@fact("fulfillment.StockRestocked")
class StockRestocked(Fact, frozen=True, gc=False):
    """Returned goods can be sold again."""

    sku: str
    quantity: int
    order_id: str
    return_id: str


@fact("fulfillment.StockAllocated")
class StockAllocated(Fact, frozen=True, gc=False):
    """The order holds `quantity` and waits for `backordered`. `last`: of all products the order asked for."""

    sku: str
    order_id: str
    quantity: int
    backordered: int
    last: bool


@fact("fulfillment.BackordersFilled")
class BackordersFilled(Fact, frozen=True, gc=False):
    """Waiting orders now hold these quantities, oldest first. `follow_ups`: how many more fills follow at once."""

    sku: str
    fills: tuple[OrderQuantity, ...]
    follow_ups: int


@fact("fulfillment.AllocationsRevoked")
class AllocationsRevoked(Fact, frozen=True, gc=False):
    """A count found less than is reserved: these orders, youngest first, lost stock and wait before all others."""

    sku: str
    revoked: tuple[OrderQuantity, ...]


@fact("fulfillment.StockReleased")
class StockReleased(Fact, frozen=True, gc=False):
    """The order neither holds `quantity` nor waits for `backordered` any more."""

    sku: str
    order_id: str
    quantity: int
    backordered: int


@fact("fulfillment.StockIssued")
class StockIssued(Fact, frozen=True, gc=False):
    """What the order held left the house: on hand and reserved fall together."""

    sku: str
    order_id: str
    quantity: int


StockFact = (
    StockReceived
    | StockAdjusted
    | StockRestocked
    | StockAllocated
    | BackordersFilled
    | AllocationsRevoked
    | StockReleased
    | StockIssued
)

# ---- Commands


class ReceiveStock(Command, frozen=True, gc=False):
    """Take goods in and fill waiting orders."""

    sku: str
    quantity: int
    receipt_id: str


class AdjustStock(Command, frozen=True, gc=False):
    """Make the books meet a count."""

    sku: str
    quantity_delta: int
    reason: str
    adjustment_id: str


class Restock(Command, frozen=True, gc=False):
    """Take returned goods back into stock."""

    sku: str
    quantity: int
    order_id: str
    return_id: str


class AllocateStock(Command, frozen=True, gc=False):
    """Reserve what there is for an order and queue the rest; asked once per order and product."""

    sku: str
    order_id: str
    quantity: int
    last: bool


class FillBackorders(Command, frozen=True, gc=False):
    """Go on filling waiting orders from free stock, and on with `follow_ups` further commands."""

    sku: str
    follow_ups: int = FOLLOW_UPS_MAX


class ReleaseStock(Command, frozen=True, gc=False):
    """Take everything from an order that it holds or waits for."""

    sku: str
    order_id: str


class IssueStock(Command, frozen=True, gc=False):
    """Let go what an order holds because it was shipped."""

    sku: str
    order_id: str
    quantity: int


StockCommand = ReceiveStock | AdjustStock | Restock | AllocateStock | FillBackorders | ReleaseStock | IssueStock

# ---- State


class Stock(State, frozen=True, gc=False):
    """What is there and who wants it. `allocations`: holders, `backorders`: waiting orders, both oldest first."""

    on_hand: int = 0
    reserved: int = 0
    backordered: int = 0
    allocations: Queue = Queue()
    backorders: Queue = Queue()

    @property
    def free(self) -> int:
        """What is on hand and nobody holds."""
        return self.on_hand - self.reserved


def evolve(state: Stock, happened: StockFact) -> Stock:
    match happened:
        case StockAllocated():
            return _allocated(state, happened)
        case StockIssued():
            return evolved(
                state,
                on_hand=state.on_hand - happened.quantity,
                reserved=state.reserved - happened.quantity,
                allocations=state.allocations.take(happened.order_id, happened.quantity),
            )
        case StockReceived() | StockRestocked():
            return evolved(state, on_hand=state.on_hand + happened.quantity)
        case StockAdjusted():
            return evolved(state, on_hand=state.on_hand + happened.quantity_delta)
        case BackordersFilled():
            return _filled(state, happened.fills)
        case AllocationsRevoked():
            return _revoked(state, happened.revoked)
        case StockReleased():
            return _released(state, happened)
        case _:
            assert_never(happened)


def _allocated(state: Stock, happened: StockAllocated) -> Stock:
    order_id, quantity, short = happened.order_id, happened.quantity, happened.backordered
    return evolved(
        state,
        reserved=state.reserved + quantity,
        backordered=state.backordered + short,
        allocations=state.allocations.add(order_id, quantity) if quantity else state.allocations,
        backorders=state.backorders.add(order_id, short) if short else state.backorders,
    )


def _filled(state: Stock, fills: Sequence[OrderQuantity]) -> Stock:
    allocations, backorders = state.allocations, state.backorders
    for fill in fills:
        allocations = allocations.add(fill.order_id, fill.quantity)
        backorders = backorders.take(fill.order_id, fill.quantity)
    return _moved(state, sum([fill.quantity for fill in fills]), allocations, backorders)


def _revoked(state: Stock, revoked: Sequence[OrderQuantity]) -> Stock:
    allocations, backorders = state.allocations, state.backorders
    for loss in revoked:
        allocations = allocations.take(loss.order_id, loss.quantity)
        backorders = backorders.add_first(loss.order_id, loss.quantity)
    return _moved(state, -sum([loss.quantity for loss in revoked]), allocations, backorders)


def _moved(state: Stock, quantity: int, allocations: Queue, backorders: Queue) -> Stock:
    return Stock(state.on_hand, state.reserved + quantity, state.backordered - quantity, allocations, backorders)


def _released(state: Stock, happened: StockReleased) -> Stock:
    order_id, quantity, short = happened.order_id, happened.quantity, happened.backordered
    return evolved(
        state,
        reserved=state.reserved - quantity,
        backordered=state.backordered - short,
        allocations=state.allocations.take(order_id, quantity) if quantity else state.allocations,
        backorders=state.backorders.take(order_id, short) if short else state.backorders,
    )


# ---- Decisions


def decide(state: Stock, command: StockCommand) -> Sequence[StockFact]:
    match command:
        case AllocateStock():
            return _allocate(state, command)
        case IssueStock(sku, order_id, quantity):
            return [StockIssued(sku, order_id, quantity)]
        case ReceiveStock(sku, quantity, receipt_id):
            return _then_fill(state, StockReceived(sku, quantity, receipt_id))
        case Restock(sku, quantity, order_id, return_id):
            return _then_fill(state, StockRestocked(sku, quantity, order_id, return_id))
        case AdjustStock():
            return _adjust(state, command)
        case ReleaseStock(sku, order_id):
            return _release(state, sku, order_id)
        case FillBackorders(sku, follow_ups):
            return _fills(state, sku, follow_ups)
        case _:
            assert_never(command)


def _allocate(state: Stock, command: AllocateStock) -> Sequence[StockFact]:
    # A bounded fill may have left orders waiting beside free stock; they came first.
    earlier = _fills(state, command.sku, 0)
    if earlier:
        state = stock.fold(earlier, state)
    free = state.free if state.backorders.first == NOBODY else 0
    quantity = min(free, command.quantity)
    short = command.quantity - quantity
    return [*earlier, StockAllocated(command.sku, command.order_id, quantity, short, command.last)]


def _adjust(state: Stock, command: AdjustStock) -> Sequence[StockFact]:
    if state.on_hand + command.quantity_delta < 0:
        raise DomainError(f"only {state.on_hand} of {command.sku} are on hand", code="below_zero")
    adjusted = StockAdjusted(command.sku, command.quantity_delta, command.reason, command.adjustment_id)
    missing = -command.quantity_delta - state.free
    if missing > 0:
        return [adjusted, AllocationsRevoked(command.sku, _youngest(state.allocations, missing))]
    return _then_fill(state, adjusted)


def _youngest(allocations: Queue, missing: int) -> tuple[OrderQuantity, ...]:
    """What the youngest holders must give back, youngest first. Bounded only by what is missing."""
    revoked = []
    order_id = allocations.last
    while missing > 0:
        place = allocations.places[order_id]
        revoked.append(OrderQuantity(order_id, min(missing, place.quantity)))
        missing -= place.quantity
        order_id = place.before
    return tuple(revoked)


def _release(state: Stock, sku: str, order_id: str) -> Sequence[StockFact]:
    quantity, short = state.allocations.quantity_of(order_id), state.backorders.quantity_of(order_id)
    if not quantity and not short:
        return []
    return _then_fill(state, StockReleased(sku, order_id, quantity, short))


def _then_fill(
    state: Stock, happened: StockReceived | StockRestocked | StockAdjusted | StockReleased
) -> Sequence[StockFact]:
    if state.backorders.first == NOBODY:
        return [happened]
    return [happened, *_fills(evolve(state, happened), happened.sku, FOLLOW_UPS_MAX)]


def _fills(state: Stock, sku: str, follow_ups: int) -> Sequence[StockFact]:
    """Waiting orders, oldest first, that free stock can fill; at most FILLS_MAX of them."""
    free, order_id = state.free, state.backorders.first
    fills: list[OrderQuantity] = []
    while free > 0 and order_id != NOBODY and len(fills) < FILLS_MAX:
        place = state.backorders.places[order_id]
        fills.append(OrderQuantity(order_id, min(free, place.quantity)))
        free -= fills[-1].quantity
        order_id = place.after
    if not fills:
        return []
    more = free > 0 and order_id != NOBODY
    return [BackordersFilled(sku, tuple(fills), follow_ups if more else 0)]


stock: Decider[Stock, StockCommand, StockFact] = Decider(
    name="stock",
    initial=Stock(),
    decide=decide,
    evolve=evolve,
    facts=(
        StockReceived,
        StockAdjusted,
        StockRestocked,
        StockAllocated,
        BackordersFilled,
        AllocationsRevoked,
        StockReleased,
        StockIssued,
    ),
    snapshots=True,
)
