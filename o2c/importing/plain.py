"""The plain CSV format that any shop system can write: see docs/importing.md."""

from datetime import UTC, datetime

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
from shared.money import is_currency

STANDARD_RATE_PERCENT = "20"
"""Used where the file has no tax column or leaves it empty."""

NAME_LENGTH_MAX = 200
PAYMENT_TERMS_DAYS_MAX = 365
TRUTHS = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


def _instant(text: str) -> datetime:
    """An ISO 8601 instant with its offset; without one nobody knows when it was."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise RefusalError("unreadable") from None
    if value.tzinfo is None:
        raise RefusalError("unreadable")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise RefusalError("out_of_range") from None


def _rate_bp(text: str) -> int:
    """A tax rate in percent, exactly, in basis points from 0 to 10,000."""
    points = exact(text or STANDARD_RATE_PERCENT) * 100
    if points != points.to_integral_value():
        raise RefusalError("unreadable")
    if not 0 <= points <= 10_000:
        raise RefusalError("out_of_range")
    return int(points)


def _name(text: str, customer_id: str) -> str:
    if len(text) > NAME_LENGTH_MAX or not (text or customer_id).isprintable() or "\ufffd" in text:
        raise RefusalError("unreadable")
    return text or f"Customer {customer_id}"


def _country(text: str) -> str:
    if len(text) != 2 or not (text.isascii() and text.isalpha() and text.isupper()):
        raise RefusalError("unknown_country")
    return text


def _terms(text: str) -> int:
    value = exact(text or "30")
    if value != value.to_integral_value() or not 0 <= value <= PAYMENT_TERMS_DAYS_MAX:
        raise RefusalError("out_of_range")
    return int(value)


def _truth(text: str) -> bool:
    try:
        return TRUTHS[text.lower()]
    except KeyError:
        raise RefusalError("unreadable") from None


def _invoice_on(text: str) -> str:
    if text not in ("", "shipment", "confirmation"):
        raise RefusalError("unreadable")
    return text or "shipment"


def _head(record: Record) -> OrderHead:
    def text(column: str) -> str:
        return record.get(column, "").strip()

    if not text("customer_id"):
        raise RefusalError("no_customer")
    customer_id = identifier(text("customer_id"))
    if not is_currency(text("currency")):
        raise RefusalError("unknown_currency")
    return OrderHead(
        customer_id,
        _name(text("customer_name"), customer_id),
        _country(text("country")),
        text("currency"),
        _instant(text("placed_at")),
        _terms(text("payment_terms_days")),
        _truth(text("prepaid")),
        _truth(text("ship_complete")),
        _invoice_on(text("invoice_on")),
    )


def judge(record: Record) -> Taken | Refused:
    """A line of its order, or the first reason that keeps it out."""
    order_id = record["order_id"].strip()
    try:
        identifier(order_id)
        head = _head(record)
        line = RequestedLine(
            identifier(record["sku"].strip()),
            whole_quantity(record["quantity"]),
            minor_price(record["unit_price"], head.currency),
            _rate_bp(record.get("tax_rate_percent", "").strip()),
        )
    except RefusalError as refusal:
        return Refused(order_id, refusal.reason)
    return Taken(order_id, head, line)


def amount(record: Record) -> Amount:
    """What the row adds to the file's sum in its currency."""
    return amount_of(record["currency"].strip(), record["quantity"], record["unit_price"])


PLAIN = Format(
    "plain",
    frozenset({"order_id", "customer_id", "country", "currency", "sku", "quantity", "unit_price", "placed_at"}),
    judge,
    amount,
    optional=frozenset(
        {"tax_rate_percent", "customer_name", "payment_terms_days", "prepaid", "ship_complete", "invoice_on"}
    ),
)
