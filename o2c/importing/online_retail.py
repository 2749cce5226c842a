"""The Online Retail columns: one wholesaler's real export, in pounds and London time."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from o2c.importing.countries import COUNTRIES
from o2c.importing.rows import (
    Amount,
    Format,
    OrderHead,
    Record,
    RefusalError,
    Refused,
    Taken,
    amount_of,
    exact,
    identifier,
    minor_price,
    whole_quantity,
)
from shared.contracts.inbound import RequestedLine

CURRENCY = "GBP"
STANDARD_RATE_BP = 2000
"""The set has no tax column; prices are net and every article is taken at the United Kingdom's 20 % standard rate."""

LONDON = ZoneInfo("Europe/London")
BOOKKEEPING = frozenset(
    {"POST", "DOT", "D", "M", "S", "B", "C2", "AMAZONFEE", "BANK CHARGES", "CRUK", "PADS", "ADJUST", "ADJUST2"}
)
"""Postage, discounts, manual corrections, samples, debt, fees and charges that the set keeps among the goods."""

BOOKKEEPING_PREFIXES = ("GIFT_", "TEST")
"""Gift vouchers are money, not goods; test rows are neither."""

DAY_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")
"""As the archive's spreadsheet is exported by pandas, by hand, and by spreadsheet programs (US)."""


@lru_cache(maxsize=1024)  # all rows of an invoice repeat the instant, and neighbours follow each other
def _instant(text: str) -> datetime:
    """London wall clock → UTC. The hour that autumn repeats is taken as its first pass."""
    for pattern in DAY_FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=LONDON).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    raise RefusalError("unreadable")


def _customer(text: str) -> str:
    """`17850.0` → `17850`: the column is a float because it has gaps."""
    if not text:
        raise RefusalError("no_customer")
    return identifier(text.removesuffix(".0"))


def _is_bookkeeping(sku: str) -> bool:
    return sku in BOOKKEEPING or sku.startswith(BOOKKEEPING_PREFIXES)


def _read(record: Record) -> Taken:
    order_id = record["InvoiceNo"].strip()
    if order_id[:1] in ("C", "c"):
        raise RefusalError("cancellation")
    identifier(order_id)
    sku = record["StockCode"].strip().upper()
    if _is_bookkeeping(sku):
        raise RefusalError("bookkeeping_row")
    if exact(record["Quantity"]) <= 0:
        raise RefusalError("non_positive_quantity")
    price = minor_price(record["UnitPrice"], CURRENCY)
    customer_id = _customer(record["CustomerID"].strip())
    country = COUNTRIES.get(record["Country"].strip())
    if country is None:
        raise RefusalError("unknown_country")
    head = OrderHead(customer_id, f"Customer {customer_id}", country, CURRENCY, _instant(record["InvoiceDate"].strip()))
    line = RequestedLine(identifier(sku), whole_quantity(record["Quantity"]), price, STANDARD_RATE_BP)
    return Taken(order_id, head, line)


def judge(record: Record) -> Taken | Refused:
    """The first thing that keeps a row out is its reason: cancellation, bookkeeping, quantity, price, customer."""
    try:
        return _read(record)
    except RefusalError as refusal:
        return Refused(record["InvoiceNo"].strip(), refusal.reason)


def amount(record: Record) -> Amount:
    """What the row adds to the file's sum."""
    return amount_of(CURRENCY, record["Quantity"], record["UnitPrice"])


ONLINE_RETAIL = Format(
    "online-retail",
    frozenset(
        {"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}
    ),
    judge,
    amount,
    aliases={"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"},
)
