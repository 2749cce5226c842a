"""People read words: every code of a reason has some, and amounts and days look alike wherever they are."""

import re
from datetime import date

import pytest

from services.analytics import words
from services.analytics.story import summary_of
from services.billing.domain import billing_state
from services.fulfillment.domain import fulfillment_state
from shared.contracts import billing, catalogue, credit, fulfillment, orders, receivables
from shared.contracts.messages import Message

CODES = re.compile(r"`reason`: ([^.]*)\.")


def _codes() -> set[str]:
    """The codes that messages, and the facts behind them, say they give as reason."""
    messages = [contract.message for contract in catalogue.contracts().values()]
    facts = [billing_state.CreditNoteIssued, fulfillment_state.CancellationRefused]
    documented = [CODES.search(kind.__doc__ or "") for kind in (*messages, *facts)]
    return {code for found in documented if found for code in re.findall(r"`([a-z_]+)`", found[1])}


def test_every_code_of_a_reason_has_words() -> None:
    assert _codes() == set(words.REASONS)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("limit_exceeded", "over the credit limit"),
        ("not_known_yet", "not known yet"),
        ("Too late", "Too late"),
    ],
)
def test_a_reason_is_told_in_words_and_a_persons_own_are_left(given: str, told: str) -> None:
    assert words.reason(given) == told


LINES = (fulfillment.LineQuantity(1, "A-1", 12_000),)
INVOICED = billing.Invoiced(
    "O-1-I1", "INV-2026-000001", "INV-2026", "O-1", "C-1", "JPY", (), (), 0, 0, 1_234_567, date(2026, 3, 1),
    date(2026, 3, 31), True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (orders.OrderCompleted("O-1", "C-1", "GBP", 10_800_000), "Completed: 108,000.00 GBP"),
        (orders.OrderCompleted("O-1", "C-1", "KWD", 1_234_567), "Completed: 1,234.567 KWD"),
        (INVOICED, "Invoice INV-2026-000001 for 1,234,567 JPY, due 31 Mar 2026"),
        (orders.OrderHeld("O-1", "C-1", "credit_declined"), "Held: credit was declined"),
        (credit.CreditApproved("O-1", "C-1", 100, "EUR"), "Credit of 1.00 EUR approved automatically"),
        (credit.CreditApproved("O-1", "C-1", 100, "EUR", "Ada"), "Credit of 1.00 EUR approved by Ada"),
        (
            credit.CreditDeclined("O-1", "C-1", 100, "EUR", "account_held", 0),
            "Credit of 1.00 EUR declined: the customer's credit account is held",
        ),
        (fulfillment.Backordered("O-1", "C-1", LINES), "Backordered: 12,000 pieces on 1 line"),
        (
            fulfillment.ReturnAuthorized("R-1", "O-1", "C-1", LINES, ""),
            "Return R-1 authorized: 12,000 pieces on 1 line",
        ),
        (orders.OrderCancelled("O-1", "C-1", "shipped"), "Cancelled: shipped"),
        (
            receivables.WrittenOff("O-1-1", "INV-1", "O-1", "C-1", 100, "EUR", "small_difference"),
            "1.00 EUR of INV-1 written off: too little to collect",
        ),
        (
            receivables.WriteOffReversed(
                "O-1-1", "INV-1", "O-1", "C-1", 100, "EUR", 100, "cash_applied", "P-1", date(2026, 3, 1)
            ),
            "1.00 EUR of INV-1 written off no more: it is paid after all",
        ),
    ],
)
def test_a_story_has_no_codes_and_readable_amounts(message: Message, told: str) -> None:
    assert summary_of(message) == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("o2c.order.OrderPlaced.v1", "Order placed"),
        ("o2c.inbound.Payment.v1", "Payment"),
        ("com.shop.Order", "com.shop.Order"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_type_of_ours_is_told_in_words(name: str | None, told: str) -> None:
    assert words.kind(name) == told


def test_what_is_not_known_is_said_so() -> None:
    assert words.money(None, "EUR") == words.day(None) == "–"
    assert words.money(-1_234, "???") == "−1,234 minor units ???"
