"""What the fulfillment service says on `o2c.fulfillment.events`: stock, allocations, shipments and returns."""

from datetime import datetime

from shared.contracts.messages import Message, Speaker
from shared.values import Value

FULFILLMENT = Speaker("fulfillment", "o2c.fulfillment.events")


class LineQuantity(Value, frozen=True, gc=False):
    """A quantity of one order line."""

    line_no: int
    sku: str
    quantity: int


@FULFILLMENT.says(key="sku", subject="sku")
class StockReceived(Message, frozen=True, gc=False):
    """Goods came in."""

    sku: str
    quantity: int
    receipt_id: str


@FULFILLMENT.says(key="sku", subject="sku")
class StockAdjusted(Message, frozen=True, gc=False):
    """A count found more (positive) or less (negative) than the books said."""

    sku: str
    quantity_delta: int
    reason: str


@FULFILLMENT.says()
class StockReserved(Message, frozen=True, gc=False):
    """Stock is allocated to these lines. `complete`: whether the whole order is now reserved or shipped."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    complete: bool


@FULFILLMENT.says()
class Backordered(Message, frozen=True, gc=False):
    """These quantities were short and wait for stock."""

    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]


@FULFILLMENT.says()
class ReservationReleased(Message, frozen=True, gc=False):
    """The order lost its allocations and backorders because it was cancelled before anything shipped."""

    order_id: str
    customer_id: str
    reason: str


@FULFILLMENT.says()
class CancellationRefused(Message, frozen=True, gc=False):
    """Shipping was faster than the cancellation; the way back is a return."""

    order_id: str
    customer_id: str
    reason: str


@FULFILLMENT.says()
class Shipped(Message, frozen=True, gc=False):
    """Goods left the house. `final`: whether nothing of the order remains to be shipped."""

    shipment_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    shipped_at: datetime
    final: bool
    carrier: str = ""
    tracking: str = ""


@FULFILLMENT.says()
class Delivered(Message, frozen=True, gc=False):
    """The carrier says that the shipment arrived."""

    shipment_id: str
    order_id: str
    customer_id: str
    delivered_at: datetime


@FULFILLMENT.says()
class ReturnAuthorized(Message, frozen=True, gc=False):
    """The customer may send these quantities back."""

    return_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    reason: str


@FULFILLMENT.says()
class ReturnReceived(Message, frozen=True, gc=False):
    """Returned goods arrived; `restocked` says whether they can be sold again."""

    return_id: str
    order_id: str
    customer_id: str
    lines: tuple[LineQuantity, ...]
    received_at: datetime
    restocked: bool
