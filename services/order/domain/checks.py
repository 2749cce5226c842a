"""What may come in: every reason why an order, a customer or a product is refused, all at once.

The same functions stand behind Kafka and HTTP. Ids name streams, Kafka keys and URL paths, so they are 1 to 64 of
A-Z a-z 0-9 . _ - and neither "." nor "..", which a URL cannot say.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from services.order.domain.customer import PutCustomer
from services.order.domain.order_commands import PlaceOrder
from services.order.domain.order_facts import OrderLine
from services.order.domain.product import ListProduct, SetPrice
from shared.errors import Problem
from shared.money import AMOUNT_MINOR_MAX, BASIS_POINTS, is_currency, tax_per_document

LINES_MAX = 500
QUANTITY_MAX = 1_000_000
TERMS_DAYS_MAX = 365
NAME_LENGTH_MAX = 200
REASON_LENGTH_MAX = 500
INVOICE_ON = ("shipment", "confirmation")
_YEARS = range(1970, 3000)

_is_id: Callable[[str], object] = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,64}").fullmatch
_unprintable: Callable[[str], object] = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_is_country: Callable[[str], object] = re.compile(r"[A-Z]{2}").fullmatch


def order_problems(order: PlaceOrder) -> list[Problem]:
    """Every reason why this order cannot be taken; empty if it can."""
    problems = [
        *id_problems("order_id", order.order_id),
        *id_problems("customer_id", order.customer_id),
        *_currency(order.currency),
        *_instant("placed_at", order.placed_at),
        *_terms(order.payment_terms_days),
    ]
    if order.invoice_on not in INVOICE_ON:
        problems.append(Problem("invoice_on", "unknown", f"must be one of {', '.join(INVOICE_ON)}"))
    return problems + _line_problems(order.lines)


def customer_problems(customer: PutCustomer) -> list[Problem]:
    """Every reason why this customer cannot be registered or changed; empty if they can."""
    problems = [
        *id_problems("customer_id", customer.customer_id),
        *text_problems("name", customer.name, NAME_LENGTH_MAX),
        *_currency(customer.currency),
        *_terms(customer.payment_terms_days),
    ]
    if not _is_country(customer.country):
        problems.append(Problem("country", "country", "must be an ISO 3166 alpha-2 code such as GB"))
    return problems


def product_problems(product: ListProduct) -> list[Problem]:
    """Every reason why this product cannot be listed; empty if it can."""
    return [
        *id_problems("sku", product.sku),
        *text_problems("description", product.description, NAME_LENGTH_MAX),
        *_within("unit_price_minor", product.unit_price_minor, 0, AMOUNT_MINOR_MAX),
        *_currency(product.currency),
        *_within("tax_rate_bp", product.tax_rate_bp, 0, BASIS_POINTS),
    ]


def price_problems(price: SetPrice) -> list[Problem]:
    """Every reason why this price cannot be set; empty if it can."""
    return [
        *id_problems("sku", price.sku),
        *_within("unit_price_minor", price.unit_price_minor, 0, AMOUNT_MINOR_MAX),
        *_currency(price.currency),
    ]


def id_problems(field: str, value: str) -> Iterator[Problem]:
    """Whether this can be the id of something."""
    if not _is_id(value):
        yield Problem(field, "id", "must be 1 to 64 of A-Z a-z 0-9 . _ - (and not . or ..)")


def text_problems(field: str, value: str, length_max: int, length_min: int = 1) -> Iterator[Problem]:
    """Whether this is a text for people: of bounded length, without control characters or half surrogates."""
    if not length_min <= len(value) <= length_max:
        yield Problem(field, "length", f"must have {length_min} to {length_max} characters")
    if _unprintable(value):
        yield Problem(field, "control_character", "must not contain control characters")


def _line_problems(lines: Sequence[OrderLine]) -> list[Problem]:
    if not 1 <= len(lines) <= LINES_MAX:
        return [Problem("lines", "count", f"must be 1 to {LINES_MAX} lines")]
    problems = [problem for line in lines for problem in _problems_of_line(line)]
    return problems or list(_total(lines))


def _problems_of_line(line: OrderLine) -> Iterator[Problem]:
    path = f"lines[{line.line_no - 1}]"
    yield from id_problems(f"{path}.sku", line.sku)
    yield from _within(f"{path}.quantity", line.quantity, 1, QUANTITY_MAX)
    yield from _within(f"{path}.unit_price_minor", line.unit_price_minor, 0, AMOUNT_MINOR_MAX)
    yield from _within(f"{path}.tax_rate_bp", line.tax_rate_bp, 0, BASIS_POINTS)


def _total(lines: Sequence[OrderLine]) -> Iterator[Problem]:
    taxes = tax_per_document((line.tax_rate_bp, line.quantity * line.unit_price_minor) for line in lines)
    if sum(base + tax for base, tax in taxes.values()) > AMOUNT_MINOR_MAX:
        yield Problem("lines", "total", f"must not exceed {AMOUNT_MINOR_MAX} minor units in total, tax included")


def _within(field: str, value: int, least: int, most: int) -> Iterator[Problem]:
    if not least <= value <= most:
        yield Problem(field, "out_of_range", f"must be {least} to {most}")


def _currency(value: str) -> Iterator[Problem]:
    if not is_currency(value):
        yield Problem("currency", "currency", "must be an ISO 4217 code that we take, such as EUR")


def _terms(days: int) -> Iterator[Problem]:
    return _within("payment_terms_days", days, 0, TERMS_DAYS_MAX)


def _instant(field: str, value: datetime) -> Iterator[Problem]:
    if value.tzinfo is None:
        yield Problem(field, "no_zone", "must carry a time zone, such as 2026-03-31T12:00:00Z")
    if value.year not in _YEARS:
        yield Problem(field, "out_of_range", f"must be in the years {_YEARS.start} to {_YEARS.stop - 1}")
