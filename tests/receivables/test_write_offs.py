"""What was written off can come back: paid after all, credited, or left by cash that is taken back (rules 17, 26)."""

from datetime import date

import pytest

from services.receivables.domain.account import account
from services.receivables.domain.account_facts import (
    Account,
    CashApplied,
    CreditNoteBooked,
    InvoicePaid,
    JournalPosted,
    WriteOffReversed,
    WrittenOff,
)
from shared.errors import DomainError
from shared.eventsourced.testing import Scenario
from tests.receivables.given import (
    CUSTOMER,
    PAID,
    applied,
    apply,
    book,
    credit_note,
    entry,
    paid,
    pay,
    received,
    reversed_off,
    unapply,
    write_off,
)
from tests.receivables.stories import (
    AR,
    BANK,
    CREDIT,
    NAMED,
    PAID_SHORT,
    REVENUE,
    TAX,
    WRITE_OFFS,
    WRITTEN_OFF,
    WRITTEN_ON,
    after,
    balances,
    due,
    losses,
    of,
    unapplied,
)


def test_what_is_written_off_is_remembered_until_it_is_reversed_rule_26() -> None:
    assert (due(WRITTEN_OFF), losses(WRITTEN_OFF)) == ({}, {"1": 120_00})
    assert WRITTEN_OFF.when(pay(**NAMED)).state() == Account(entries=3)


def test_goods_that_come_back_after_a_write_off_are_no_loss_and_no_credit_rule_17() -> None:
    story = WRITTEN_OFF.when(credit_note(120_00))
    ids = ("CN-1", "CRN-2026-1", "1", "INV-2026-1", "O-1", CUSTOMER, "EUR")
    issued = date(2026, 3, 20)
    booked = CreditNoteBooked(*ids, 100_00, 20_00, 120_00, 120_00, 0, issued, WRITTEN_ON)
    back = ((REVENUE, 100_00), (TAX, 20_00), (CREDIT, -120_00))
    story.then(
        reversed_off(120_00, 120_00, reason="credit_note", source_id="CN-1", reversed_on=WRITTEN_ON),
        booked,
        paid(paid_on=WRITTEN_ON),
        entry(3, issued, "CRN-2026-1", *back, order_id="O-1"),
        entry(4, WRITTEN_ON, "CRN-2026-1", (AR, 120_00), (WRITE_OFFS, -120_00), (CREDIT, 120_00), (AR, -120_00),
              order_id="O-1"),
    )  # fmt: skip
    assert (balances(story), due(story), unapplied(story), losses(story)) == ({}, {}, {}, {})


def test_a_recovery_reverses_the_write_off_then_applies_the_cash_rule_26() -> None:
    command = pay(**NAMED)
    on = date(2026, 4, 2)
    lines = ((AR, 120_00), (WRITE_OFFS, -120_00), (BANK, 120_00), (CREDIT, -120_00), (CREDIT, 120_00), (AR, -120_00))
    story = WRITTEN_OFF.when(command)
    story.then(
        reversed_off(120_00, 120_00, reversed_on=on),
        received(command),
        applied(120_00, 0, applied_on=on),
        paid(paid_on=on),
        entry(3, on, "P-1", *lines),
    )
    assert balances(story) == {BANK: 120_00, REVENUE: -100_00, TAX: -20_00}


def test_a_small_difference_goes_with_the_cash_that_left_it_rule_26() -> None:
    story = PAID_SHORT.when(unapply(119_50, 119_50))
    back = reversed_off(50, 50, reason="cash_unapplied", reversed_on=WRITTEN_ON, by="Ada")
    assert of(story, WriteOffReversed) == [back]
    assert (due(story), losses(story), unapplied(story)) == ({"1": 120_00}, {}, {"P-1": 119_50})
    story = story.when(pay(120_00, "P-2", **NAMED))
    assert (due(story), losses(story), unapplied(story)) == ({}, {}, {"P-1": 119_50})
    assert balances(story) == {BANK: 239_50, CREDIT: -119_50, REVENUE: -100_00, TAX: -20_00}


def test_a_part_of_the_cash_takes_the_small_difference_with_it_once() -> None:
    story = PAID_SHORT.when(unapply(20_00, 119_50))
    assert (due(story), losses(story)) == ({"1": 20_50}, {})
    assert due(story.when(unapply(30_00, 99_50))) == {"1": 50_50}


def test_what_a_person_gave_up_stays_so_when_cash_is_taken_back() -> None:
    story = after(book(), pay(100_00, reference="INV-2026-1"), write_off()).when(unapply(100_00, 100_00))
    assert (due(story), losses(story)) == ({"1": 100_00}, {"1": 20_00})
    story = story.when(pay(119_00, "P-2", **NAMED))
    assert (due(story), losses(story), unapplied(story)) == ({}, {"1": 1_00}, {"P-1": 100_00})


def test_of_two_kinds_of_loss_only_the_small_difference_goes_with_the_cash_and_only_once() -> None:
    reopened = WRITTEN_OFF.when(pay(50_00, **NAMED)).when(unapply(50_00, 50_00, on=date(2026, 4, 3)))
    short = reopened.when(pay(49_80, "P-2", **NAMED, write_off_max_minor=20))
    assert (due(short), losses(short)) == ({}, {"1": 70_20})
    story = short.when(unapply(10_00, 49_80, source_id="P-2"))
    assert (due(story), losses(story)) == ({"1": 10_20}, {"1": 70_00})
    story = story.when(unapply(10_00, 39_80, source_id="P-2"))
    assert (due(story), losses(story)) == ({"1": 20_20}, {"1": 70_00})


def test_a_part_of_a_loss_is_recovered_and_the_rest_stays_one() -> None:
    story = WRITTEN_OFF.when(pay(50_00, **NAMED, write_off_max_minor=70_00))
    assert of(story, CashApplied) == [applied(50_00, 0, applied_on=date(2026, 4, 2))]
    assert of(story, WrittenOff) == []
    assert (due(story), losses(story), unapplied(story)) == ({}, {"1": 70_00}, {})
    assert balances(story) == {BANK: 50_00, REVENUE: -100_00, TAX: -20_00, WRITE_OFFS: 70_00}


def test_a_recovery_that_is_more_than_the_loss_leaves_credit() -> None:
    story = WRITTEN_OFF.when(pay(130_00, **NAMED))
    assert (due(story), losses(story), unapplied(story)) == ({}, {}, {"P-1": 10_00})


def test_after_a_part_was_recovered_a_credit_note_takes_the_rest_of_the_loss_first() -> None:
    story = WRITTEN_OFF.when(pay(50_00, **NAMED)).when(credit_note(120_00))
    assert (due(story), losses(story), unapplied(story)) == ({}, {}, {"CN-1": 50_00})
    assert balances(story) == {BANK: 50_00, CREDIT: -50_00}


def test_a_credit_note_takes_what_is_open_before_what_is_written_off() -> None:
    reopened = WRITTEN_OFF.when(pay(50_00, **NAMED)).when(unapply(50_00, 50_00, on=date(2026, 4, 3)))
    assert (due(reopened), losses(reopened)) == ({"1": 50_00}, {"1": 70_00})
    story = reopened.when(credit_note(50_00))
    assert (due(story), losses(story), of(story, WriteOffReversed)) == ({}, {"1": 70_00}, [])
    story = reopened.when(credit_note(60_00))
    assert (due(story), losses(story), unapplied(story)) == ({}, {"1": 60_00}, {"P-1": 50_00})
    assert len(of(story, InvoicePaid)) == 1


def test_a_returned_invoice_that_was_paid_short_credits_what_was_paid() -> None:
    story = PAID_SHORT.when(credit_note(120_00))
    assert (due(story), losses(story), unapplied(story)) == ({}, {}, {"CN-1": 119_50})
    assert balances(story) == {BANK: 119_50, CREDIT: -119_50}


def test_a_person_applies_money_to_what_was_written_off_rule_26() -> None:
    story = after(book(), write_off(), pay(reference="X1")).when(apply("P-1", 120_00))
    on = WRITTEN_ON
    back = reversed_off(120_00, 120_00, reversed_on=on, by="Ada")
    lines = ((AR, 120_00), (WRITE_OFFS, -120_00), (CREDIT, 120_00), (AR, -120_00))
    application = applied(120_00, 0, applied_on=on, by="Ada")
    story.then(back, application, paid(paid_on=on), entry(4, on, "P-1", *lines, order_id="O-1"))
    assert (losses(story), unapplied(story)) == ({}, {})


def test_a_person_applies_money_to_what_is_open_first() -> None:
    reopened = WRITTEN_OFF.when(pay(50_00, **NAMED)).when(unapply(50_00, 50_00, on=date(2026, 4, 3)))
    assert losses(reopened.when(apply("P-1", 50_00))) == {"1": 70_00}
    more = reopened.when(pay(50_00, "P-2", reference="X1"))
    assert losses(more.when(apply("P-2", 40_00))) == {"1": 70_00}
    story = more.when(apply("P-1", 50_00)).when(apply("P-2", 50_00))
    assert (due(story), losses(story), unapplied(story)) == ({}, {"1": 20_00}, {})


def test_no_more_is_applied_than_is_due_and_written_off() -> None:
    story = after(book(), write_off(), pay(200_00, reference="X1"))
    story.when(apply("P-1", 120_01)).then_refuses(DomainError, "amount_not_there")


def test_a_recovery_that_is_taken_back_is_due_again() -> None:
    story = WRITTEN_OFF.when(pay(**NAMED)).when(unapply(120_00, 120_00, on=date(2026, 4, 3)))
    assert (due(story), losses(story), unapplied(story)) == ({"1": 120_00}, {}, {"P-1": 120_00})


def test_what_is_open_on_named_invoices_is_paid_before_losses_come_back() -> None:
    story = after(book("1"), write_off("1"), book("2")).when(pay(200_00, reference="INV-2026-1 INV-2026-2"))
    assert (due(story), losses(story), unapplied(story)) == ({}, {"1": 40_00}, {})
    short = after(book("1"), write_off("1"), book("2")).when(pay(90_00, reference="INV-2026-1 INV-2026-2"))
    assert (due(short), losses(short)) == ({"2": 30_00}, {"1": 120_00})


@pytest.mark.parametrize("names", [{}, {"order_id": "O-1"}, {"reference": "INV-2026-77"}])
def test_money_that_does_not_name_the_invoice_brings_no_loss_back(names: dict[str, str]) -> None:
    story = WRITTEN_OFF.when(pay(**names))
    assert (losses(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 120_00})


def test_money_of_another_currency_brings_no_loss_back() -> None:
    story = WRITTEN_OFF.when(pay(**NAMED, currency="GBP"))
    assert (losses(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 120_00})


def test_a_loss_comes_back_on_no_day_before_it_was_one_rule_29() -> None:
    story = WRITTEN_OFF.when(pay(reference="INV-2026-1"))
    assert [f.reversed_on for f in of(story, WriteOffReversed)] == [WRITTEN_ON]
    assert [e.posted_on for e in of(story, JournalPosted)] == [PAID, WRITTEN_ON]


def test_a_loss_of_before_reversals_were_known_is_mended_by_a_person() -> None:
    """Stored as it was then: the goods came back, the loss stayed, and the customer was owed what they never paid."""
    ids = ("CN-1", "CRN-2026-1", "1", "INV-2026-1", "O-1", CUSTOMER, "EUR")
    booked = CreditNoteBooked(*ids, 100_00, 20_00, 120_00, 0, 120_00, WRITTEN_ON, WRITTEN_ON)
    posted = entry(3, WRITTEN_ON, "CRN-2026-1", (REVENUE, 100_00), (TAX, 20_00), (CREDIT, -120_00), order_id="O-1")
    old = Scenario(account, (*WRITTEN_OFF.history, *WRITTEN_OFF.facts())).given(booked, posted)
    assert (losses(old), unapplied(old)) == ({"1": 120_00}, {"CN-1": 120_00})
    assert balances(old.when(apply("CN-1", 120_00))) == {}
