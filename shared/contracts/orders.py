"""What the order service says on `o2c.order.events`: the life of orders and the masters they rest on."""

from datetime import datetime

from shared.contracts.messages import Message, Speaker
from shared.values import Value

ORDER = Speaker("order", "o2c.order.events")


class OrderLine(Value, frozen=True, gc=False):
    """One line as ordered. `unit_price_minor` is net of tax; `tax_rate_bp` in basis points (2000 = 20 %)."""

    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int


@ORDER.says()
class OrderPlaced(Message, frozen=True, gc=False):
    """An order was taken and waits for credit. Amounts in minor units of `currency`; tax rounded per document."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    placed_at: datetime
    payment_terms_days: int = 30
    prepaid: bool = False


@ORDER.says()
class OrderRejected(Message, frozen=True, gc=False):
    """A held order was refused for good by a person; `reasons` are for people."""

    order_id: str
    customer_id: str
    reasons: tuple[str, ...]


@ORDER.says()
class OrderConfirmed(Message, frozen=True, gc=False):
    """Credit is granted: the order may be reserved, shipped and invoiced. Carries all that those need."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    confirmed_at: datetime
    payment_terms_days: int = 30
    prepaid: bool = False
    ship_complete: bool = False
    invoice_on: str = "shipment"


@ORDER.says()
class OrderHeld(Message, frozen=True, gc=False):
    """The order waits for a person or for money. `reason`: `credit_declined` or `credit_referred`."""

    order_id: str
    customer_id: str
    reason: str


@ORDER.says()
class OrderReleased(Message, frozen=True, gc=False):
    """A held order goes on."""

    order_id: str
    customer_id: str


@ORDER.says()
class OrderCancellationRequested(Message, frozen=True, gc=False):
    """A confirmed order shall be cancelled; fulfillment decides whether shipping was faster."""

    order_id: str
    customer_id: str
    reason: str


@ORDER.says()
class OrderCancelled(Message, frozen=True, gc=False):
    """The order ended before anything shipped; nothing is reserved or owed for it any more."""

    order_id: str
    customer_id: str
    reason: str


@ORDER.says()
class OrderCompleted(Message, frozen=True, gc=False):
    """Everything ordered was shipped, invoiced and paid."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int


@ORDER.says(subject="customer_id")
class CustomerRegistered(Message, frozen=True, gc=False):
    """A customer of ours. `country` as ISO 3166 alpha-2, `currency` in which they are charged."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int = 30


@ORDER.says(subject="customer_id")
class CustomerChanged(Message, frozen=True, gc=False):
    """The master data of a customer as they are now."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int = 30


@ORDER.says(key="sku", subject="sku")
class ProductListed(Message, frozen=True, gc=False):
    """A product may be ordered from now on."""

    sku: str
    description: str
    unit_price_minor: int
    currency: str
    tax_rate_bp: int


@ORDER.says(key="sku", subject="sku")
class PriceChanged(Message, frozen=True, gc=False):
    """The list price of a product from now on, net of tax, in minor units."""

    sku: str
    unit_price_minor: int
    currency: str
