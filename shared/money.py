"""Exact money: whole minor units, currencies with their exponents, and roundings that have names."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

BASIS_POINTS = 10_000
AMOUNT_MINOR_MAX = 10**15
"""Largest amount the system takes, in minor units. It fits a 64-bit integer, and so do the sums of one document; sums
beyond a document (of a customer, an account, a day) are `numeric` in SQL: 9,300 such amounts would be too many."""

EXPONENTS: Mapping[str, int] = {
    **dict.fromkeys(("JPY", "KRW", "CLP", "ISK", "VND", "XAF", "XOF", "XPF", "PYG", "UGX", "RWF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(
        (
            "AED", "ARS", "AUD", "BGN", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP",
            "HKD", "HUF", "IDR", "ILS", "INR", "KES", "MAD", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP",
            "PLN", "QAR", "RON", "RSD", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "UYU", "ZAR",
        ),
        2,
    ),
}  # fmt: skip
"""ISO 4217 currencies that the system takes, with the number of decimal places of each."""


def is_currency(code: str) -> bool:
    """Whether this is a currency the system takes (ISO 4217 alphabetic code, upper case)."""
    return code in EXPONENTS


def divide_half_up(numerator: int, denominator: int) -> int:
    """Integer division rounded half away from zero: the rounding of EN 16931. 5/2 → 3, -5/2 → -3."""
    assert denominator > 0
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient


def tax_half_up(base_minor: int, rate_bp: int) -> int:
    """Tax on a base, both in minor units of one currency; the rate in basis points (2000 = 20 %)."""
    return divide_half_up(base_minor * rate_bp, BASIS_POINTS)


def tax_per_document(lines: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Document rounding: (rate_bp, net_minor) per line → rate_bp → (base_minor, tax_minor = round(Σ base × rate))."""
    bases: dict[int, int] = {}
    for rate_bp, net_minor in lines:
        bases[rate_bp] = bases.get(rate_bp, 0) + net_minor
    return {rate: (base, tax_half_up(base, rate)) for rate, base in sorted(bases.items())}


def text_from_minor(amount_minor: int, currency: str) -> str:
    """Minor units as a plain decimal: 123456 GBP → "1234.56", 5 JPY → "5"."""
    places = EXPONENTS[currency]
    return f"{Decimal(amount_minor).scaleb(-places):.{places}f}"


def grouped_from_minor(amount_minor: int, currency: str) -> str:
    """Minor units as people read them, thousands apart: 123456 GBP → "1,234.56", -1234567 JPY → "−1,234,567"."""
    whole, dot, places = text_from_minor(abs(amount_minor), currency).partition(".")
    return f"{'−' if amount_minor < 0 else ''}{int(whole):,}{dot}{places}"
