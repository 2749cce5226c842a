"""What the outside world says to us on `o2c.inbound.*`; the REST bodies have the same shape."""

from datetime import date, datetime

from shared.contracts.messages import Message, Speaker
from shared.values import Value

INBOUND_ORDERS = Speaker("inbound", "o2c.inbound.orders")
INBOUND_PAYMENTS = Speaker("inbound", "o2c.inbound.payments")
INBOUND_SHIPMENTS = Speaker("inbound", "o2c.inbound.shipments")


class RequestedLine(Value, frozen=True, gc=False):
    """One line as asked for; `unit_price_minor` net of tax; tax rate in basis points."""

    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int = 0


@INBOUND_ORDERS.says()
class Order(Message, frozen=True, gc=False):
    """An order to be placed. `order_id` is the sender's and makes repeats harmless; instants carry a zone."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[RequestedLine, ...]
    placed_at: datetime
    payment_terms_days: int = 30
    prepaid: bool = False
    ship_complete: bool = False
    invoice_on: str = "shipment"


@INBOUND_ORDERS.says(subject="customer_id")
class Customer(Message, frozen=True, gc=False):
    """A customer to be registered, or their master data as they are now."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int = 30


@INBOUND_PAYMENTS.says(subject="payment_id")
class Payment(Message, frozen=True, gc=False):
    """Money that came in. `payment_id` is the bank's or provider's and makes repeats harmless.

    `reference` is what the payer wrote: an invoice number pays that invoice; `order_id` says which order a
    prepayment is for.
    """

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str = "transfer"
    reference: str = ""
    order_id: str = ""


class ShippedLine(Value, frozen=True, gc=False):
    """A quantity of one order line that left the house."""

    line_no: int
    quantity: int


@INBOUND_SHIPMENTS.says(key="order_id")
class Shipment(Message, frozen=True, gc=False):
    """The warehouse shipped. No lines: everything that is reserved for the order."""

    shipment_id: str
    order_id: str
    shipped_at: datetime
    lines: tuple[ShippedLine, ...] = ()
    carrier: str = ""
    tracking: str = ""


@INBOUND_SHIPMENTS.says(key="sku", subject="sku")
class Receipt(Message, frozen=True, gc=False):
    """Goods came in. `receipt_id` is the warehouse's and makes repeats harmless."""

    receipt_id: str
    sku: str
    quantity: int
