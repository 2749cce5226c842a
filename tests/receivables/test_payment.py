"""A payment is registered once, and only if it can be read."""

from datetime import date
from typing import Any

import pytest

from services.receivables.domain.payment import PaymentRegistered, RegisterPayment, checked_payment, payment
from shared.errors import ConflictError, ContractError
from shared.eventsourced.testing import Scenario
from shared.money import AMOUNT_MINOR_MAX
from shared.values import evolved

REGISTER = RegisterPayment("P-1", "C-1", 120_00, "EUR", date(2026, 3, 10), "card", "INV-2026-000001", "O-1")
REGISTERED = PaymentRegistered("P-1", "C-1", 120_00, "EUR", date(2026, 3, 10), "card", "INV-2026-000001", "O-1")

new = Scenario(payment)

OTHER_CONTENT: dict[str, Any] = {
    "customer_id": "C-2",
    "amount_minor": 120_01,
    "currency": "GBP",
    "value_on": date(2026, 3, 11),
    "method": "transfer",
    "reference": "",
    "order_id": "O-2",
}
UNREADABLE: list[tuple[str, Any, str]] = [
    ("payment_id", "", "missing"),
    ("payment_id", "P" * 129, "too_long"),
    ("payment_id", "P\x001", "control_character"),
    ("customer_id", "  ", "missing"),
    ("customer_id", "C\n1", "control_character"),
    ("amount_minor", 0, "out_of_range"),
    ("amount_minor", -1, "out_of_range"),
    ("amount_minor", AMOUNT_MINOR_MAX + 1, "out_of_range"),
    ("currency", "EURO", "unknown_currency"),
    ("currency", "eur", "unknown_currency"),
    ("value_on", date(1989, 12, 31), "implausible"),
    ("value_on", date(2101, 1, 1), "implausible"),
    ("method", "", "missing"),
    ("method", "m" * 41, "too_long"),
    ("reference", "r" * 141, "too_long"),
    ("reference", "a\x1fb", "control_character"),
    ("reference", "\ud800", "control_character"),
    ("order_id", "O\x7f1", "control_character"),
]


def test_a_new_payment_is_registered() -> None:
    new.when(REGISTER).then(REGISTERED)


def test_the_same_payment_again_is_nothing_new_rule_33() -> None:
    new.given(REGISTERED).when(REGISTER).then_nothing()


@pytest.mark.parametrize("field", OTHER_CONTENT)
def test_the_same_id_with_other_content_is_a_conflict_rule_33(field: str) -> None:
    other = evolved(REGISTER, **{field: OTHER_CONTENT[field]})
    new.given(REGISTERED).when(other).then_refuses(ConflictError, "payment_id_reused")


@pytest.mark.parametrize(("field", "value", "code"), UNREADABLE)
def test_what_cannot_be_taken_is_refused(field: str, value: Any, code: str) -> None:
    with pytest.raises(ContractError) as raised:
        checked_payment(evolved(REGISTER, **{field: value}))
    assert [(p.field, p.code) for p in raised.value.problems] == [(field, code)]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 1},
        {"amount_minor": AMOUNT_MINOR_MAX},
        {"value_on": date(1990, 1, 1)},
        {"value_on": date(2100, 12, 31)},
        {"reference": "r" * 140},
        {"reference": "Süß\u00a0日本 \u200d"},
        {"reference": "", "order_id": ""},
    ],
)
def test_the_edges_of_what_can_be_taken(changes: dict[str, Any]) -> None:
    command = evolved(REGISTER, **changes)
    assert checked_payment(command) is command


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ContractError) as raised:
        checked_payment(RegisterPayment("", "", 0, "", date(1, 1, 1), "", "\x00", "\x00"))
    fields = [p.field for p in raised.value.problems]
    assert sorted(fields) == sorted(RegisterPayment.__struct_fields__)
