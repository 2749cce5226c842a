"""Tax is shared out among documents without losing or inventing a cent."""

from services.billing.domain.documents import InvoiceLine, TaxLeft, TaxLine, order_taxes, taxes_left, taxes_of
from shared.values import Map


def line(net_minor: int, rate_bp: int = 2000, line_no: int = 1) -> InvoiceLine:
    return InvoiceLine(line_no, "A", 1, net_minor, rate_bp, net_minor)


def test_tax_is_rounded_once_per_rate_and_not_per_line() -> None:
    # Rule 2: ten lines of 0.33 at 19 % are 0.63, and not ten times 0.06.
    assert order_taxes([line(33, 1900) for _ in range(10)]) == Map({1900: TaxLeft(330, 63)})


def test_half_a_cent_is_rounded_up() -> None:
    # Rule 1: half-up, where Python's Decimal would round half-even: 0.125 → 0.13.
    assert taxes_of([line(125, 1000)], Map({1000: TaxLeft(1000, 100)})) == (TaxLine(1000, 125, 13),)


def test_whoever_takes_the_last_of_a_base_takes_all_that_is_left_of_its_tax() -> None:
    # Rule 3: three parts of 100.00 at 10 % make exactly 10.00 of tax.
    left = Map({1000: TaxLeft(10000, 1000)})
    parts = []
    for net_minor in (3333, 3333, 3334):
        taxes = taxes_of([line(net_minor, 1000)], left)
        left = taxes_left(left, taxes)
        parts.append(taxes[0].tax_minor)
    assert parts == [333, 333, 334]
    assert left == Map({1000: TaxLeft(0, 0)})


def test_no_document_takes_more_tax_than_is_left() -> None:
    # Ten parts of 0.03 at 20 % would each round 0.006 up to 0.01, and the order's tax is 0.06.
    left = order_taxes([line(30)])
    taken = []
    for _ in range(10):
        taxes = taxes_of([line(3)], left)
        left = taxes_left(left, taxes)
        taken.append(taxes[0].tax_minor)
    assert taken == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_each_rate_has_a_tax_of_its_own_in_order_of_rates() -> None:
    lines = [line(1000, 2000), line(1000, 500), line(500, 0), line(10, 500)]
    assert taxes_of(lines, order_taxes(lines)) == (TaxLine(0, 500, 0), TaxLine(500, 1010, 51), TaxLine(2000, 1000, 200))
