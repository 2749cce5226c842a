"""What one row of an order file says, or why it is refused: the common shape of all file formats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Literal

from shared.contracts.inbound import RequestedLine
from shared.money import EXPONENTS
from shared.values import Value

Reason = Literal[
    "cancellation",
    "no_customer",
    "non_positive_quantity",
    "non_positive_price",
    "bookkeeping_row",
    "sub_minor_price",
    "out_of_range",
    "unknown_currency",
    "unknown_country",
    "invoice_reappeared",
    "contradicts_order",
    "too_many_lines",
    "unreadable",
]
"""Why a row is not taken; docs/importing.md explains each."""

ID_LENGTH_MAX = 64
QUANTITY_MAX = 1_000_000
UNIT_PRICE_MINOR_MAX = 10**12
ORDER_LINES_MAX = 500  # what the order service takes in one order

_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class OrderHead(Value, frozen=True, gc=False):
    """What all rows of one order share."""

    customer_id: str
    customer_name: str
    country: str
    currency: str
    placed_at: datetime
    payment_terms_days: int = 30
    prepaid: bool = False
    ship_complete: bool = False
    invoice_on: str = "shipment"


class Taken(Value, frozen=True, gc=False):
    """A row that becomes a line of its order."""

    order_id: str
    head: OrderHead
    line: RequestedLine


class Refused(Value, frozen=True, gc=False):
    """A row that does not, and why. `order_id` is empty where the row does not name one."""

    order_id: str
    reason: Reason


@dataclass(frozen=True)
class Amount:
    """Quantity × unit price exactly as the file says; zero in currency "?" where the row does not say it."""

    currency: str
    value: Decimal


EXACT = Context(prec=80)
"""Wide enough that no product or sum of what `exact` lets through is ever rounded."""

NO_AMOUNT = Amount("?", Decimal(0))

Record = Mapping[str, str]
"""Column name → text of one row."""


@dataclass(frozen=True)
class Format:
    """A file format, known by its header. `judge` never raises; `amount` is what the row adds to the file's sum."""

    name: str
    columns: frozenset[str]
    judge: Callable[[Record], Taken | Refused]
    amount: Callable[[Record], Amount]
    optional: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)


class RefusalError(Exception):
    """A row is refused; used inside the formats to leave a reading early."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def exact(text: str) -> Decimal:
    """A finite decimal number of at most 30 characters; refused as unreadable otherwise."""
    try:
        value = Decimal(text) if len(text) <= 30 else None
    except InvalidOperation:
        value = None
    # An exponent such as 1E+999999 is finite but would make every sum a million digits long.
    if value is None or not value.is_finite() or not -12 <= value.adjusted() <= 18:
        raise RefusalError("unreadable")
    return value


def amount_of(currency: str, quantity: str, price: str) -> Amount:
    """Quantity × unit price where both can be read."""
    try:
        return Amount(currency if currency in EXPONENTS else "?", EXACT.multiply(exact(quantity), exact(price)))
    except RefusalError:
        return NO_AMOUNT


def identifier(text: str) -> str:
    """A name for an order, customer or article: 1 to 64 of A-Z a-z 0-9 . _ -; refused as unreadable otherwise."""
    if not 0 < len(text) <= ID_LENGTH_MAX or not _ID_CHARACTERS.issuperset(text):
        raise RefusalError("unreadable")
    return text


def whole_quantity(text: str) -> int:
    """A whole quantity of at least 1."""
    value = exact(text)
    if value <= 0:
        raise RefusalError("non_positive_quantity")
    if value != value.to_integral_value():
        raise RefusalError("unreadable")
    if value > QUANTITY_MAX:
        raise RefusalError("out_of_range")
    return int(value)


def minor_price(text: str, currency: str) -> int:
    """A unit price above zero in minor units, exactly: nothing is rounded."""
    value = exact(text)
    if value <= 0:
        raise RefusalError("non_positive_price")
    minor = value.scaleb(EXPONENTS[currency])
    if minor != minor.to_integral_value():
        raise RefusalError("sub_minor_price")
    if minor > UNIT_PRICE_MINOR_MAX:
        raise RefusalError("out_of_range")
    return int(minor)
