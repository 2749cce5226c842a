"""How money finds its invoices, and what the journal says about it."""

from datetime import date

import pytest

from services.receivables.domain.account_facts import (
    Account,
    CashApplied,
    CashUnapplied,
    CreditNoteBooked,
    InvoiceBooked,
    InvoicePaid,
    JournalPosted,
    WrittenOff,
)
from services.receivables.domain.account_state import named_in
from shared.errors import DomainError, NotFoundError
from shared.values import evolved
from tests.receivables.given import (
    CUSTOMER,
    DUE,
    ISSUED,
    PAID,
    applied,
    apply,
    book,
    credit_note,
    entry,
    number_of,
    paid,
    pay,
    received,
    unapply,
    write_off,
)
from tests.receivables.stories import (
    AR,
    BANK,
    CREDIT,
    REVENUE,
    TAX,
    WRITE_OFFS,
    after,
    due,
    losses,
    new,
    of,
    unapplied,
)

# ---- Invoices


def test_an_invoice_is_receivable_revenue_and_tax() -> None:
    booked = InvoiceBooked("1", "INV-2026-1", "O-1", CUSTOMER, "EUR", 100_00, 20_00, 120_00, ISSUED, DUE)
    lines = ((AR, 120_00), (REVENUE, -100_00), (TAX, -20_00))
    new.when(book()).then(booked, entry(1, ISSUED, "INV-2026-1", *lines, order_id="O-1"))


def test_an_invoice_without_tax_has_no_tax_line() -> None:
    [posted] = of(new.when(book(tax_minor=0)), JournalPosted)
    assert [line.account for line in posted.lines] == [AR, REVENUE]


def test_an_open_invoice_is_not_booked_twice() -> None:
    after(book()).when(book()).then_nothing()


def test_an_invoice_over_nothing_is_paid_at_once_and_posts_nothing() -> None:
    story = new.when(book(total_minor=0))
    assert [type(fact) for fact in story.facts()] == [InvoiceBooked, InvoicePaid]
    assert story.state() == Account()


# ---- Payments of invoices


def test_a_payment_by_reference_closes_its_invoice() -> None:
    command = pay(reference="INV-2026-1")
    lines = ((BANK, 120_00), (CREDIT, -120_00), (CREDIT, 120_00), (AR, -120_00))
    after(book()).when(command).then(received(command), applied(120_00, 0), paid(), entry(2, PAID, "P-1", *lines))


def test_a_closed_account_remembers_only_its_count_of_entries() -> None:
    assert after(book(), pay(reference="INV-2026-1")).state() == Account(entries=2)


def test_an_invoice_is_paid_in_two_parts() -> None:
    story = after(book(), pay(50_00, reference="INV-2026-1"))
    assert of(story, CashApplied, InvoicePaid) == [applied(50_00, 70_00)]
    story = story.when(pay(70_00, "P-2", reference="INV-2026-1"))
    assert of(story, CashApplied, InvoicePaid) == [applied(70_00, 0, source_id="P-2"), paid()]
    assert story.state() == Account(entries=3)


def test_entries_of_repeated_part_payments_have_different_ids() -> None:
    story = after(book(), pay(50_00, reference="INV-2026-1"))
    ids = [of(story, JournalPosted)[0].entry_id, of(story.when(pay(50_00, "P-2")), JournalPosted)[0].entry_id]
    assert ids == ["J-C-1-2", "J-C-1-3"]


def test_an_over_payment_becomes_customer_credit_rule_20() -> None:
    story = after(book(), pay(150_00, reference="INV-2026-1"))
    assert (due(story), unapplied(story)) == ({}, {"P-1": 30_00})


def test_the_rest_of_a_referenced_over_payment_pays_no_other_invoice() -> None:
    story = after(book("1"), book("2"), pay(150_00, reference="INV-2026-1"), book("3", order_id="O-3"))
    assert (due(story), unapplied(story)) == ({"2": 120_00, "3": 120_00}, {"P-1": 30_00})


def test_a_short_payment_stays_open_without_tolerance_rule_21() -> None:
    story = after(book(), pay(119_99, reference="INV-2026-1"))
    assert due(story) == {"1": 1}
    assert of(story, WrittenOff, InvoicePaid) == []


def test_a_short_payment_within_tolerance_is_written_off_rule_21() -> None:
    story = after(book(), pay(119_50, reference="INV-2026-1", write_off_max_minor=50))
    off = WrittenOff("1", "INV-2026-1", "O-1", CUSTOMER, 50, "EUR", "small_difference", PAID)
    assert of(story, CashApplied, WrittenOff, InvoicePaid) == [applied(119_50, 50), off, paid()]
    lines = ((BANK, 119_50), (CREDIT, -119_50), (CREDIT, 119_50), (AR, -120_00), (WRITE_OFFS, 50))
    assert of(story, JournalPosted) == [entry(2, PAID, "P-1", *lines)]
    assert (due(story), losses(story)) == ({}, {"1": 50})


def test_a_cent_beyond_the_tolerance_stays_open_rule_21() -> None:
    assert due(after(book(), pay(119_49, reference="INV-2026-1", write_off_max_minor=50))) == {"1": 51}


def test_a_small_invoice_nobody_paid_is_not_written_off() -> None:
    story = new.when(book(total_minor=40, write_off_max_minor=50))
    assert (due(story), of(story, WrittenOff)) == ({"1": 40}, [])


def test_a_late_payment_is_dated_in_its_value_day() -> None:
    late = date(2026, 6, 30)
    story = after(book(), pay(reference="INV-2026-1", value_on=late))
    assert of(story, InvoicePaid) == [paid(paid_on=late)]
    assert [e.posted_on for e in of(story, JournalPosted)] == [late]


# ---- What a payment names (rule 20)


def test_several_numbers_in_a_reference_are_paid_in_their_order() -> None:
    story = after(book("1"), book("2"), book("3"), pay(200_00, reference="inv-2026-3; INV-2026-1, thanks"))
    assert due(story) == {"1": 40_00, "2": 120_00}


def test_a_payment_that_names_items_of_two_currencies_pays_those_of_its_own() -> None:
    story = after(book("1", currency="GBP"), book("2"), pay(200_00, reference="INV-2026-1 INV-2026-2"))
    assert (due(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 80_00})


def test_the_named_order_comes_after_the_reference() -> None:
    story = after(book("1", order_id="O-9"), book("2"), pay(150_00, reference="INV-2026-1", order_id="O-1"))
    assert due(story) == {"2": 90_00}


def test_two_invoices_of_one_order_are_paid_oldest_due_first() -> None:
    story = after(book("1", due_on=date(2026, 5, 1)), book("2"), pay(130_00, order_id="O-1"))
    assert due(story) == {"1": 110_00}


def test_a_payment_of_an_order_pays_no_other_order() -> None:
    story = after(book("1", order_id="O-2"), pay(order_id="O-1"))
    assert (due(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 120_00})


def test_a_payment_for_an_unknown_invoice_stays_unapplied_even_if_the_amount_fits() -> None:
    story = after(book("1"), pay(reference="INV-2026-77"))
    assert (due(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 120_00})


def test_a_payment_that_names_nothing_pays_the_single_item_of_its_amount() -> None:
    assert due(after(book("1"), book("2", 90_00), book("3", 80_00), pay(80_00))) == {"1": 120_00, "2": 90_00}


def test_the_exact_amount_is_what_is_due_now_not_the_total() -> None:
    story = after(book("1", due_on=date(2026, 3, 3)), book("2"), pay(40_00, reference="INV-2026-2"), pay(80_00, "P-2"))
    assert due(story) == {"1": 120_00}


def test_two_items_of_the_amount_are_no_single_item_so_the_oldest_due_is_paid() -> None:
    early = book("3", 50_00, due_on=date(2026, 3, 5))
    assert due(after(book("1"), book("2"), early, pay())) == {"1": 50_00, "2": 120_00}


def test_a_payment_that_names_nothing_pays_the_oldest_due_first() -> None:
    story = after(book("1"), book("2", 70_00, due_on=date(2026, 3, 9)), pay(100_00))
    assert due(story) == {"1": 90_00}


def test_free_text_without_digits_names_nothing() -> None:
    assert due(after(book(), pay(reference="with thanks"))) == {}


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("", ()),
        ("thank you", ()),
        ("INV-2026-000001", ("INV-2026-000001",)),
        ("inv-2026-000001,INV-2026-000002;INV-2026-000001", ("INV-2026-000001", "INV-2026-000002")),
    ],
)
def test_a_reference_names_the_words_with_digits(reference: str, names: tuple[str, ...]) -> None:
    assert named_in(reference) == names


# ---- Money before its invoice


def test_a_prepayment_is_a_liability_until_its_invoice_comes_rule_22() -> None:
    command = pay(order_id="O-1", method="card", value_on=date(2026, 3, 1))
    lines = ((BANK, 120_00), (CREDIT, -120_00))
    story = new.when(command)
    story.then(received(command), entry(1, date(2026, 3, 1), "P-1", *lines, order_id="O-1"))
    story = story.when(book())
    assert of(story, CashApplied, InvoicePaid) == [applied(120_00, 0, applied_on=ISSUED), paid(paid_on=ISSUED)]
    lines = ((AR, 120_00), (REVENUE, -100_00), (TAX, -20_00), (CREDIT, 120_00), (AR, -120_00))
    assert of(story, JournalPosted) == [entry(2, ISSUED, "INV-2026-1", *lines, order_id="O-1")]


def test_a_payment_by_reference_may_be_heard_before_its_invoice() -> None:
    assert after(pay(reference="INV-2026-1", value_on=ISSUED), book()).state() == Account(entries=2)


def test_a_prepayment_of_two_invoices_pays_each_as_it_comes() -> None:
    story = after(pay(200_00, order_id="O-1"), book("1"))
    assert (due(story), unapplied(story)) == ({}, {"P-1": 80_00})
    story = story.when(book("2"))
    assert (due(story), unapplied(story)) == ({"2": 40_00}, {})


def test_a_short_prepayment_within_tolerance_is_written_off_at_invoicing() -> None:
    story = after(pay(119_99, order_id="O-1"), book(write_off_max_minor=1))
    assert (due(story), [f.amount_minor for f in of(story, WrittenOff)]) == ({}, [1])


def test_tolerance_waits_until_all_prepayments_are_used() -> None:
    story = after(pay(119_99, order_id="O-1"), pay(50_00, "P-2", order_id="O-1"), book(write_off_max_minor=1))
    assert (of(story, WrittenOff), unapplied(story)) == ([], {"P-2": 49_99})


def test_credit_that_names_the_invoice_comes_before_its_order_and_before_free_money() -> None:
    free, ordered = pay(50_00, "P-1"), pay(50_00, "P-2", order_id="O-1")
    story = after(free, ordered, pay(50_00, "P-3", reference="INV-2026-1"), book())
    assert [(f.source_id, f.amount_minor) for f in of(story, CashApplied)] == [
        ("P-3", 50_00),
        ("P-2", 50_00),
        ("P-1", 20_00),
    ]


def test_free_money_pays_the_next_invoice_so_arrival_order_does_not_matter() -> None:
    assert due(after(pay(), book())) == due(after(book(), pay())) == {}


def test_money_dated_before_the_invoice_that_it_pays_is_a_liability_until_then_rule_22() -> None:
    early = date(2026, 2, 20)
    story = after(book(), pay(reference="INV-2026-1", value_on=early))
    bank = entry(2, early, "P-1", (BANK, 120_00), (CREDIT, -120_00))
    application = entry(3, ISSUED, "P-1", (CREDIT, 120_00), (AR, -120_00))
    assert of(story, JournalPosted) == [bank, application]
    assert of(story, InvoicePaid) == [paid(paid_on=ISSUED)]


def test_a_later_value_day_dates_the_application_of_a_prepayment() -> None:
    story = after(pay(order_id="O-1", value_on=date(2026, 3, 9)), book())
    assert [e.posted_on for e in of(story, JournalPosted)] == [ISSUED, date(2026, 3, 9)]


# ---- Credit notes (rule 17)


def test_a_credit_note_reduces_what_is_due_on_an_unpaid_invoice_rule_17() -> None:
    story = after(book(), credit_note(30_00))
    ids = ("CN-1", "CRN-2026-1", "1", "INV-2026-1", "O-1", CUSTOMER, "EUR")
    on = date(2026, 3, 20)
    booked = CreditNoteBooked(*ids, 25_00, 5_00, 30_00, 30_00, 0, on, on)
    story.then(booked, entry(2, on, "CRN-2026-1", (REVENUE, 25_00), (TAX, 5_00), (AR, -30_00), order_id="O-1"))
    assert (due(story), unapplied(story)) == ({"1": 90_00}, {})


def test_a_credit_note_over_all_of_an_unpaid_invoice_leaves_nothing_due() -> None:
    story = after(book(), credit_note(120_00))
    assert of(story, InvoicePaid) == [paid(paid_on=date(2026, 3, 20))]
    assert story.state() == Account(entries=2)


def test_a_credit_note_on_a_partly_paid_invoice_splits_rule_17() -> None:
    story = after(book(), pay(80_00, reference="INV-2026-1"), credit_note(60_00))
    assert (due(story), unapplied(story)) == ({}, {"CN-1": 20_00})
    [posted] = of(story, JournalPosted)
    lines = ((REVENUE, 50_00), (TAX, 10_00), (AR, -40_00), (CREDIT, -20_00))
    assert posted == entry(3, date(2026, 3, 20), "CRN-2026-1", *lines, order_id="O-1")


def test_a_credit_note_on_a_paid_invoice_is_customer_credit_rule_17() -> None:
    story = after(book(), pay(), credit_note(60_00))
    assert (due(story), unapplied(story), of(story, InvoicePaid)) == ({}, {"CN-1": 60_00}, [])


def test_credit_of_a_credit_note_pays_no_invoice_by_itself() -> None:
    story = after(book(), pay(), credit_note(60_00), book("2"))
    assert (due(story), unapplied(story)) == ({"2": 120_00}, {"CN-1": 60_00})


def test_a_payment_with_the_id_of_a_credit_note_loses_no_money() -> None:
    story = after(book(), pay(), credit_note(60_00), pay(10_00, "CN-1"))
    assert unapplied(story) == {"CN-1": 70_00}


# ---- Decisions of people


def test_a_person_applies_credit_to_an_invoice() -> None:
    story = after(book(), pay(), credit_note(60_00), book("2")).when(apply("CN-1", 60_00, "2"))
    on = date(2026, 3, 25)
    application = applied(60_00, 60_00, "2", "CN-1", applied_on=on, by="Ada")
    story.then(application, entry(5, on, "CN-1", (CREDIT, 60_00), (AR, -60_00), order_id="O-1"))


def test_a_person_who_applies_all_that_is_due_closes_the_invoice() -> None:
    story = after(pay(reference="X1"), book()).when(apply("P-1", 120_00))
    assert (of(story, InvoicePaid), due(story), unapplied(story)) == ([paid(paid_on=date(2026, 3, 25))], {}, {})


@pytest.mark.parametrize("amount_minor", [0, -1, 30_01, 120_01])
def test_no_more_is_applied_than_there_is_rule_19(amount_minor: int) -> None:
    after(pay(30_00, reference="X1"), book()).when(apply("P-1", amount_minor)).then_refuses(
        DomainError, "amount_not_there"
    )


def test_money_of_another_currency_is_not_there() -> None:
    after(pay(reference="X1", currency="GBP"), book()).when(apply("P-1", 1)).then_refuses(NotFoundError)


def test_unapplying_restores_both_sides_rule_19() -> None:
    story = after(book(), pay(reference="INV-2026-1")).when(unapply(120_00, 120_00))
    [taken_back] = of(story, CashUnapplied)
    assert (taken_back.open_minor, taken_back.amount_minor) == (120_00, 120_00)
    lines = ((AR, 120_00), (CREDIT, -120_00))
    assert of(story, JournalPosted) == [entry(3, date(2026, 3, 25), "P-1", *lines, order_id="O-1")]
    assert (due(story), unapplied(story)) == ({"1": 120_00}, {"P-1": 120_00})
    again = after(book()).state().items["1"]
    assert story.state().items["1"] == evolved(again, open_since=date(2026, 3, 25))


def test_nothing_pays_a_reopened_item_on_a_day_before_it_was_reopened_rule_29() -> None:
    reopened = after(book(), pay(reference="INV-2026-1"), unapply(120_00, 120_00))
    on, earlier = date(2026, 3, 25), date(2026, 3, 12)
    story = reopened.when(pay(50_00, "P-2", reference="INV-2026-1", value_on=earlier))
    assert [e.posted_on for e in of(story, JournalPosted)] == [earlier, on]
    story = reopened.when(credit_note(60_00, issued_on=earlier))
    back = ((REVENUE, 50_00), (TAX, 10_00), (CREDIT, -60_00))
    assert of(story, JournalPosted) == [
        entry(4, earlier, "CRN-2026-1", *back, order_id="O-1"),
        entry(5, on, "CRN-2026-1", (CREDIT, 60_00), (AR, -60_00), order_id="O-1"),
    ]


def test_a_part_of_an_application_can_be_taken_back() -> None:
    story = after(book(), pay(100_00, reference="INV-2026-1")).when(unapply(30_00, 100_00))
    assert (due(story), unapplied(story)) == ({"1": 50_00}, {"P-1": 30_00})


@pytest.mark.parametrize("amount_minor", [0, 100_01])
def test_no_more_is_unapplied_than_was_applied(amount_minor: int) -> None:
    after(book(), pay(100_00)).when(unapply(amount_minor, 100_00)).then_refuses(DomainError, "amount_not_there")


def test_an_application_is_not_taken_back_before_it_took_effect() -> None:
    later = date(2026, 4, 9)
    story = after(book(), pay(value_on=later)).when(unapply(120_00, 120_00, applied_on=later))
    assert [f.unapplied_on for f in of(story, CashUnapplied)] == [later]


def test_what_a_person_unapplied_waits_for_a_person() -> None:
    story = after(book(), pay(200_00, order_id="O-1"), unapply(120_00, 120_00), book("2"))
    assert (due(story), unapplied(story)) == ({"1": 120_00, "2": 120_00}, {"P-1": 200_00})


def test_a_reopened_invoice_can_be_paid_again() -> None:
    story = after(book(), pay(reference="INV-2026-1"), unapply(120_00, 120_00), pay(120_00, "P-2"))
    assert (of(story, InvoicePaid), unapplied(story)) == ([paid(paid_on=date(2026, 3, 25))], {"P-1": 120_00})


def test_a_person_writes_off_what_is_open_rule_26() -> None:
    story = after(book(), pay(100_00, reference="INV-2026-1")).when(write_off())
    on = date(2026, 3, 25)
    off = WrittenOff("1", "INV-2026-1", "O-1", CUSTOMER, 20_00, "EUR", "insolvent", on, "Ada")
    posted = entry(3, on, "INV-2026-1", (WRITE_OFFS, 20_00), (AR, -20_00), order_id="O-1")
    story.then(off, paid(paid_on=on), posted)


def test_the_first_entry_of_a_second_customer_has_an_id_of_its_own() -> None:
    [posted] = of(new.when(book(customer_id="C-2")), JournalPosted)
    assert (posted.entry_id, number_of("1")) == ("J-C-2-1", posted.document)
