"""The lines and taxes of invoices and credit notes, and how tax is shared out without losing a cent.

An order's tax is round(base × rate) per rate. An invoice of part of it has its own round(base × rate), and whichever
invoice takes the last of a rate's base takes all that is left of its tax; so do credit notes with an invoice's tax.
"""

from collections.abc import Iterable

from shared.eventsourced.facts import State
from shared.money import tax_half_up
from shared.values import Map, Value


class LineQuantity(Value, frozen=True, gc=False):
    """A quantity of one order line."""

    line_no: int
    sku: str
    quantity: int


class InvoiceLine(Value, frozen=True, gc=False):
    """One line as invoiced or credited; `net_minor` = quantity × unit price, net of tax."""

    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int
    net_minor: int


class TaxLine(Value, frozen=True, gc=False):
    """The tax of one rate: base and tax in minor units; the rate in basis points."""

    tax_rate_bp: int
    base_minor: int
    tax_minor: int


class TaxLeft(State, frozen=True, gc=False):
    """What of one rate's base and tax is not yet on a document, in minor units."""

    base_minor: int
    tax_minor: int


def order_taxes(lines: Iterable[InvoiceLine]) -> Map[int, TaxLeft]:
    """All of an order's base and tax per rate, rounded once per rate: tax rate in basis points → what is to come."""
    bases = _bases(lines)
    return Map({rate: TaxLeft(base, tax_half_up(base, rate)) for rate, base in bases.items()})


def taxes_of(lines: Iterable[InvoiceLine], left: Map[int, TaxLeft]) -> tuple[TaxLine, ...]:
    """The taxes of a document with these lines, of what is left: never more, and all of it with the last of a base."""
    return tuple([_tax_line(rate, base, left[rate]) for rate, base in sorted(_bases(lines).items())])


def _bases(lines: Iterable[InvoiceLine]) -> dict[int, int]:
    bases: dict[int, int] = {}
    for line in lines:
        bases[line.tax_rate_bp] = bases.get(line.tax_rate_bp, 0) + line.net_minor
    return bases


def _tax_line(rate_bp: int, base_minor: int, left: TaxLeft) -> TaxLine:
    if base_minor == left.base_minor:
        return TaxLine(rate_bp, base_minor, left.tax_minor)
    # Many small documents that all round up would run beyond the whole; then there is nothing left for the last.
    return TaxLine(rate_bp, base_minor, min(tax_half_up(base_minor, rate_bp), left.tax_minor))


def taxes_left(left: Map[int, TaxLeft], taxes: Iterable[TaxLine]) -> Map[int, TaxLeft]:
    """What is left once a document has these taxes."""
    for tax in taxes:
        known = left[tax.tax_rate_bp]
        rest = TaxLeft(known.base_minor - tax.base_minor, known.tax_minor - tax.tax_minor)
        left = left.set(tax.tax_rate_bp, rest)
    return left
