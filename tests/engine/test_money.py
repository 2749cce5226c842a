"""Money is exact: whole minor units, half-up with one rounding, parts that sum to the whole."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import (
    EXPONENTS,
    allocate_by_largest_remainder,
    divide_half_up,
    is_currency,
    minor_from_text,
    tax_half_up,
    tax_per_document,
    text_from_minor,
)

amounts = st.integers(-(10**15), 10**15)
currencies = st.sampled_from(sorted(EXPONENTS))


def test_half_a_unit_is_rounded_up_and_not_to_even() -> None:
    assert minor_from_text("34700.045", "EUR") == 34700_05
    assert minor_from_text("0.125", "GBP") == 13
    assert minor_from_text("-0.125", "GBP") == -13


@pytest.mark.parametrize(
    ("text", "currency", "minor"), [("5", "JPY", 5), ("1.2345", "KWD", 1235), ("12.5", "GBP", 1250)]
)
def test_each_currency_has_its_own_places(text: str, currency: str, minor: int) -> None:
    assert minor_from_text(text, currency) == minor


@given(st.decimals(-(10**15), 10**15, allow_nan=False), currencies)
def test_an_amount_of_any_length_is_rounded_once(amount: Decimal, currency: str) -> None:
    with localcontext() as exact:
        exact.prec = 2_000
        wanted = int((amount * 10 ** EXPONENTS[currency]).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert minor_from_text(str(amount), currency) == wanted


def test_a_long_fraction_just_below_half_is_not_rounded_twice() -> None:
    assert minor_from_text("0.00499999999999999999999999999999999999", "GBP") == 0


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-Infinity", "1e30", "1e999999999", "9" * 40, "1,5", "0x1"])
def test_what_is_no_amount_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|amount|large"):
        minor_from_text(text, "GBP")


def test_an_unknown_currency_is_a_value_error() -> None:
    assert not is_currency("gbp")
    with pytest.raises(ValueError, match="currency"):
        minor_from_text("1", "XYZ")


@given(amounts, currencies)
def test_an_amount_written_and_read_again_is_the_same(minor: int, currency: str) -> None:
    assert minor_from_text(text_from_minor(minor, currency), currency) == minor


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**9))
def test_half_up_is_the_nearest_integer_and_ties_go_away_from_zero(numerator: int, denominator: int) -> None:
    exact, rounded = Fraction(numerator, denominator), divide_half_up(numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)
    assert divide_half_up(-numerator, denominator) == -rounded


def test_tax_by_line_and_by_document_differ_as_the_rules_say() -> None:
    lines = [(1900, 33)] * 10
    assert sum(tax_half_up(net, rate) for rate, net in lines) == 60
    assert tax_per_document(lines) == {1900: (330, 63)}


@given(st.lists(st.tuples(st.sampled_from([0, 500, 1900, 2000]), amounts), max_size=20))
def test_the_tax_of_a_document_is_the_rounded_tax_of_each_rates_base(lines: list[tuple[int, int]]) -> None:
    taxes = tax_per_document(lines)
    assert sum(base for base, _ in taxes.values()) == sum(net for _, net in lines)
    assert all(tax == divide_half_up(base * rate, 10_000) for rate, (base, tax) in taxes.items())


weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any)


@given(amounts, weights)
def test_parts_sum_to_the_whole_and_are_within_one_unit_of_their_share(total: int, shares: list[int]) -> None:
    parts = allocate_by_largest_remainder(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(total * share, sum(shares))) < 1
        assert share or part == 0


@given(amounts, weights)
def test_what_is_taken_back_is_split_as_what_was_given(total: int, shares: list[int]) -> None:
    given_, back = allocate_by_largest_remainder(total, shares), allocate_by_largest_remainder(-total, shares)
    assert [a + b for a, b in zip(given_, back, strict=True)] == [0] * len(shares)


def test_three_partial_invoices_give_exactly_the_order() -> None:
    assert allocate_by_largest_remainder(100_00, [1, 1, 1]) == [33_34, 33_33, 33_33]


@pytest.mark.parametrize("shares", [[], [0, 0], [1, -1]])
def test_nothing_to_allocate_to_is_a_mistake_of_the_caller(shares: list[int]) -> None:
    with pytest.raises(AssertionError):
        allocate_by_largest_remainder(1, shares)
