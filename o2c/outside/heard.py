"""What the outside world needs of the system's public messages: narrow shapes of the contracts, cheap to decode."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Generic, TypeVar

import msgspec

from shared.contracts import billing, fulfillment, orders, receivables
from shared.contracts.fulfillment import LineQuantity
from shared.contracts.messages import Message, contract_of
from shared.values import Value


class Placed(Value, frozen=True, gc=False):
    """OrderPlaced, without its lines."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int
    placed_at: datetime


class Confirmed(Value, frozen=True, gc=False):
    """OrderConfirmed, without its lines."""

    order_id: str


class Held(Value, frozen=True, gc=False):
    """OrderHeld."""

    order_id: str
    reason: str


class Completed(Value, frozen=True, gc=False):
    """OrderCompleted."""

    order_id: str


class Reserved(Value, frozen=True, gc=False):
    """StockReserved."""

    order_id: str
    lines: tuple[LineQuantity, ...]
    complete: bool


class Short(Value, frozen=True, gc=False):
    """Backordered."""

    order_id: str
    lines: tuple[LineQuantity, ...]


class Invoice(Value, frozen=True, gc=False):
    """Invoiced, without its lines and taxes."""

    invoice_id: str
    number: str
    order_id: str
    customer_id: str
    currency: str
    total_minor: int
    issued_on: date
    due_on: date
    final: bool


class Received(Value, frozen=True, gc=False):
    """PaymentReceived."""

    payment_id: str
    amount_minor: int
    currency: str


class Applied(Value, frozen=True, gc=False):
    """CashApplied."""

    order_id: str
    amount_minor: int
    currency: str


class Paid(Value, frozen=True, gc=False):
    """InvoicePaid."""

    order_id: str
    invoice_id: str


NARROW: Mapping[type[Message], type[Value]] = {
    orders.OrderPlaced: Placed,
    orders.OrderConfirmed: Confirmed,
    orders.OrderHeld: Held,
    orders.OrderCompleted: Completed,
    fulfillment.StockReserved: Reserved,
    fulfillment.Backordered: Short,
    billing.Invoiced: Invoice,
    receivables.PaymentReceived: Received,
    receivables.CashApplied: Applied,
    receivables.InvoicePaid: Paid,
}
"""Contract → the part of it that is read. Fields have the contract's names and types."""

TOPICS = tuple(sorted({contract_of(message).topic for message in NARROW}))
"""The topics that the outside world listens to."""

T = TypeVar("T")


class Said(Value, Generic[T], frozen=True, gc=False):
    """A message with what its envelope says: its id (`stream@version`) and the instant it was said, UTC."""

    id: str
    at: datetime
    message: T


_decoders = {contract_of(cls).name.encode(): msgspec.json.Decoder(narrow) for cls, narrow in NARROW.items()}


def read(records: Iterable[Any]) -> list[Said[Any]]:
    """The messages among Kafka records that concern the outside world; all others cost one look at a header."""
    said = []
    for record in records:
        headers = dict(record.headers)
        decoder = _decoders.get(headers.get("ce_type", b""))
        if decoder is not None:
            at = datetime.fromisoformat(headers["ce_time"].decode())
            said.append(Said(headers["ce_id"].decode(), at, decoder.decode(record.value)))
    return said
