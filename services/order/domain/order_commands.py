"""What can be asked of an order, by messages and by people."""

from datetime import datetime

from services.order.domain.order_facts import Noted, OrderLine
from shared.eventsourced.facts import Command


class PlaceOrder(Command, frozen=True, gc=False):
    """Take an order. It has passed `order_problems`; `placed_at` carries a zone.

    `placed_at_given`: whether the sender said it. If not, the instant of a repeat is not compared.
    """

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    placed_at: datetime
    payment_terms_days: int
    prepaid: bool
    ship_complete: bool
    invoice_on: str
    placed_at_given: bool = True


class ConfirmOrder(Command, frozen=True, gc=False):
    """Credit was granted at this instant."""

    at: datetime


class HoldOrder(Command, frozen=True, gc=False):
    """Credit was not granted: `credit_declined` or `credit_referred`."""

    reason: str


class RejectOrder(Command, frozen=True, gc=False):
    """A person refuses a held order for good."""

    order_id: str
    reasons: tuple[str, ...]


class CancelOrder(Command, frozen=True, gc=False):
    """The customer or a person calls the order off."""

    order_id: str
    reason: str


class FinishCancellation(Command, frozen=True, gc=False):
    """Fulfillment gave the order's stock back before anything shipped."""


class RefuseCancellation(Command, frozen=True, gc=False):
    """Fulfillment has shipped already."""

    reason: str


class NoteProgress(Command, frozen=True, gc=False):
    """Remember what fulfillment, billing or receivables did with the order."""

    progress: Noted


OrderCommand = (
    PlaceOrder
    | ConfirmOrder
    | HoldOrder
    | RejectOrder
    | CancelOrder
    | FinishCancellation
    | RefuseCancellation
    | NoteProgress
)
