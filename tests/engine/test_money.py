"""Money is exact: whole minor units, half-up with one rounding, and the places of each currency."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import (
    divide_half_up,
    grouped_from_minor,
    is_currency,
    tax_half_up,
    tax_per_document,
    text_from_minor,
)

amounts = st.integers(-(10**15), 10**15)


def test_only_known_currencies_in_upper_case_are_taken() -> None:
    assert is_currency("GBP")
    assert not is_currency("gbp")
    assert not is_currency("XYZ")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(5, "JPY", "5"), (1235, "KWD", "1.235"), (-5, "GBP", "-0.05"), (10**15, "EUR", "10000000000000.00")],
)
def test_each_currency_is_written_with_its_own_places(minor: int, currency: str, text: str) -> None:
    assert text_from_minor(minor, currency) == text


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1_234_567, "JPY", "1,234,567"), (-1_234_567, "KWD", "−1,234.567"), (-5, "GBP", "−0.05"), (0, "EUR", "0.00")],
)
def test_people_read_thousands_apart_and_a_real_minus(minor: int, currency: str, text: str) -> None:
    assert grouped_from_minor(minor, currency) == text


def test_half_a_unit_is_rounded_up_and_not_to_even() -> None:
    assert [divide_half_up(n, 2) for n in (1, 3, 5, -1, -3)] == [1, 2, 3, -1, -2]


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
