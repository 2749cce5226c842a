"""How people read what the services say: reasons and names in words; amounts, counts and days in one form."""

import re
from collections.abc import Mapping
from datetime import date

from shared.money import EXPONENTS, grouped_from_minor

REASONS: Mapping[str, str] = {
    "account_held": "the customer's credit account is held",
    "cash_applied": "it is paid after all",
    "cash_unapplied": "the money that all but paid it was taken back",
    "credit_declined": "credit was declined",
    "credit_note": "a credit note takes it back",
    "credit_referred": "a person decides about the credit",
    "currency_mismatch": "the credit account is in another currency",
    "declined_by_person": "declined by a person",
    "limit_exceeded": "over the credit limit",
    "no_account": "the customer has no credit account",
    "order_cancelled": "the order was cancelled",
    "returned": "goods were returned",
    "shipment_waiting": "the goods have left already",
    "shipped": "it has shipped already",
    "small_difference": "too little to collect",
}
"""Code of a reason → what it says."""

NAMES: Mapping[str, str] = {"declined_by_person": "Declined by a person"}
"""Name of the code → how it is called, where the name alone is no English."""

_NAME_OF_CODE = re.compile(r"[a-z]+(_[a-z]+)+")
_MESSAGE_TYPE = re.compile(r"o2c\.[a-z]+\.([A-Za-z]+)\.v\d+")


def reason(text: str) -> str:
    """Why, in words: a code as what it says, what a person wrote as it is. No code is shown for itself."""
    if text in REASONS:
        return REASONS[text]
    return text.replace("_", " ") if _NAME_OF_CODE.fullmatch(text) else text


def label(word: str) -> str:
    """A name of the code as people read it: credit_approved → Credit approved, OrderPlaced → Order placed."""
    if word in NAMES:
        return NAMES[word]
    spaced = "".join(f" {c.lower()}" if c.isupper() and at else c for at, c in enumerate(word)).replace("_", " ")
    return capital(spaced)


def capital(text: str) -> str:
    """With a capital letter at the begin, as where a sentence begins."""
    return text[:1].upper() + text[1:]


def kind(message_type: str | None) -> str:
    """What a message is: o2c.order.OrderPlaced.v1 → Order placed. A type that is none of ours stays as it is."""
    ours = _MESSAGE_TYPE.fullmatch(message_type or "")
    return label(ours[1]) if ours else message_type or "unknown"


def money(amount_minor: int | None, currency: str | None) -> str:
    """123456, GBP → "1,234.56 GBP". A currency that this version does not know is said to be in minor units."""
    if amount_minor is None:
        return "–"
    if currency is None or currency not in EXPONENTS:
        return f"{number(amount_minor)} minor units {currency or '?'}"
    return f"{amount(amount_minor, currency)} {currency}"


def amount(amount_minor: int, currency: str) -> str:
    """123456, GBP → "1,234.56": for columns whose head names the currency."""
    return grouped_from_minor(int(amount_minor), currency)


def number(value: float) -> str:
    """1234 → "1,234"."""
    return f"{round(value):,}".replace("-", "−")


def counted(count: int, thing: str) -> str:
    """1, piece → "1 piece"; 1234, piece → "1,234 pieces"."""
    return f"{number(count)} {thing if count == 1 else thing + 's'}"


def day(value: date | str | None) -> str:
    """A day as people read it: 31 Mar 2026."""
    if value is None:
        return "–"
    on = date.fromisoformat(value) if isinstance(value, str) else value
    return f"{on.day} {on:%b %Y}"
