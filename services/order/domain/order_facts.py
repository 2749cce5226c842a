"""What happens to an order: the facts of the stream `order-{order_id}`."""

from datetime import datetime

from shared.eventsourced.facts import Fact, fact
from shared.values import Value


class OrderLine(Value, frozen=True, gc=False):
    """One line as ordered. `unit_price_minor` is net of tax; `tax_rate_bp` in basis points (2000 = 20 %)."""

    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int


class ShippedQuantity(Value, frozen=True, gc=False):
    """A quantity of one order line that left the house."""

    line_no: int
    quantity: int


@fact("order.OrderPlaced")
class OrderPlaced(Fact, frozen=True, gc=False):
    """An order was taken and waits for credit: all that was asked for, and its totals in minor units of `currency`."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    placed_at: datetime
    payment_terms_days: int
    prepaid: bool
    ship_complete: bool
    invoice_on: str


@fact("order.OrderHeld")
class OrderHeld(Fact, frozen=True, gc=False):
    """The order waits for a person or for money. `reason`: `credit_declined` or `credit_referred`."""

    order_id: str
    customer_id: str
    reason: str


@fact("order.OrderReleased")
class OrderReleased(Fact, frozen=True, gc=False):
    """The held order goes on."""

    order_id: str
    customer_id: str


@fact("order.OrderConfirmed")
class OrderConfirmed(Fact, frozen=True, gc=False):
    """Credit is granted. Repeats what was ordered, because those who now act on it know nothing else of the order."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    confirmed_at: datetime
    payment_terms_days: int
    prepaid: bool
    ship_complete: bool
    invoice_on: str


@fact("order.OrderRejected")
class OrderRejected(Fact, frozen=True, gc=False):
    """The held order was refused for good by a person; `reasons` are for people."""

    order_id: str
    customer_id: str
    reasons: tuple[str, ...]


@fact("order.OrderCancellationRequested")
class OrderCancellationRequested(Fact, frozen=True, gc=False):
    """The confirmed order shall be cancelled; fulfillment decides whether shipping was faster."""

    order_id: str
    customer_id: str
    reason: str


@fact("order.OrderCancellationRefused")
class OrderCancellationRefused(Fact, frozen=True, gc=False):
    """Shipping was faster than the cancellation: the order goes on."""

    reason: str


@fact("order.OrderCancelled")
class OrderCancelled(Fact, frozen=True, gc=False):
    """The order ended before anything shipped."""

    order_id: str
    customer_id: str
    reason: str


@fact("order.AllocationNoted")
class AllocationNoted(Fact, frozen=True, gc=False):
    """How much of the order has stock: `reserved` (all of it), `partial` or `backordered`."""

    allocation: str


@fact("order.ShipmentNoted")
class ShipmentNoted(Fact, frozen=True, gc=False):
    """These quantities left the house; `final`: nothing remains to be shipped."""

    shipment_id: str
    lines: tuple[ShippedQuantity, ...]
    shipped_at: datetime
    final: bool


@fact("order.InvoiceNoted")
class InvoiceNoted(Fact, frozen=True, gc=False):
    """An invoice over `total_minor`, tax included; `final`: nothing remains to be invoiced."""

    invoice_id: str
    number: str
    total_minor: int
    final: bool


@fact("order.InvoicePaymentNoted")
class InvoicePaymentNoted(Fact, frozen=True, gc=False):
    """Nothing is due on this invoice of `total_minor` any more. It may be noted before the invoice itself."""

    invoice_id: str
    number: str
    total_minor: int


@fact("order.InvoiceReopened")
class InvoiceReopened(Fact, frozen=True, gc=False):
    """Money was taken back from an invoice on which nothing was due: `open_minor` is due on it again."""

    invoice_id: str
    number: str
    open_minor: int


@fact("order.CreditNoteNoted")
class CreditNoteNoted(Fact, frozen=True, gc=False):
    """`total_minor` of an invoice, tax included, was taken back."""

    credit_note_id: str
    number: str
    invoice_id: str
    total_minor: int


@fact("order.OrderCompleted")
class OrderCompleted(Fact, frozen=True, gc=False):
    """Everything ordered was shipped, invoiced and paid."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int


Noted = AllocationNoted | ShipmentNoted | InvoiceNoted | InvoicePaymentNoted | InvoiceReopened | CreditNoteNoted
"""What fulfillment, billing and receivables did with the order."""

OrderFact = (
    OrderPlaced
    | OrderHeld
    | OrderReleased
    | OrderConfirmed
    | OrderRejected
    | OrderCancellationRequested
    | OrderCancellationRefused
    | OrderCancelled
    | OrderCompleted
    | Noted
)
