"""What comes from outside is refused with every problem at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from services.fulfillment.domain import checks
from services.fulfillment.domain.fulfillment_state import NamedLine
from shared.errors import ContractError

AT = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)


def problems(make: Callable[[], Any]) -> set[tuple[str, str]]:
    with pytest.raises(ContractError) as raised:
        make()
    return {(problem.field, problem.code) for problem in raised.value.problems}


def test_a_shipment_is_refused_with_every_problem() -> None:
    bad = [(0, 1), (1, 0), (1, 10**10)]
    assert problems(
        lambda: checks.shipment_command(" ", "x" * 129, bad, datetime(2026, 1, 1), "a\nb", "\x00")  # noqa: DTZ001
    ) == {
        ("shipment_id", "blank"),
        ("order_id", "too_long"),
        ("lines[0].line_no", "out_of_range"),
        ("lines[1].quantity", "out_of_range"),
        ("lines[2].line_no", "duplicate"),
        ("lines[2].quantity", "out_of_range"),
        ("shipped_at", "no_zone"),
        ("carrier", "not_printable"),
        ("tracking", "not_printable"),
    }


def test_an_instant_is_kept_in_utc_and_lines_in_their_order() -> None:
    local = AT.astimezone(timezone(timedelta(hours=2)))
    command = checks.shipment_command("S-1", "O-1", [(2, 1), (1, 3)], local, "", "")
    assert command.notice.shipped_at.tzinfo is UTC
    assert command.notice.shipped_at == AT
    assert command.notice.lines == (NamedLine(1, 3), NamedLine(2, 1))


@pytest.mark.parametrize("year", [1969, 3000, 1, 9999])
def test_an_instant_of_another_age_is_refused(year: int) -> None:
    at = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert problems(lambda: checks.delivery_command("S-1", "O-1", at)) == {("delivered_at", "out_of_range")}


def test_too_many_lines_are_refused() -> None:
    lines = [(i, 1) for i in range(1, checks.LINES_MAX + 2)]
    assert problems(lambda: checks.return_command("RT-1", "O-1", lines, "")) == {("lines", "too_many")}


def test_a_return_names_lines_and_its_receipt_need_not() -> None:
    assert problems(lambda: checks.return_command("RT-1", "O-1", [], "")) == {("lines", "empty")}
    assert checks.return_receipt_command("RT-1", "O-1", [], AT, True).lines == ()


@pytest.mark.parametrize("quantity", [0, -1, 10**9 + 1])
def test_a_receipt_has_a_positive_quantity(quantity: int) -> None:
    assert problems(lambda: checks.receipt_command("R-1", "A", quantity)) == {("quantity", "out_of_range")}


@pytest.mark.parametrize("delta", [0, 10**9 + 1, -(10**9) - 1])
def test_an_adjustment_changes_something(delta: int) -> None:
    found = problems(lambda: checks.adjustment_command("A-1", "A", delta, "x" * 501))
    assert found == {("quantity_delta", "out_of_range"), ("reason", "too_long")}


def test_the_largest_and_smallest_values_are_taken() -> None:
    checks.receipt_command("x" * 128, "s", 10**9)
    checks.adjustment_command("A-1", "A", -(10**9), "x" * 500)
