"""The life of an order: the whole table of state × command, and the stories between."""

from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.order.domain.order import Order, Status, order
from services.order.domain.order_commands import OrderCommand
from services.order.domain.order_facts import (
    AllocationNoted,
    InvoiceNoted,
    InvoicePaymentNoted,
    InvoiceReopened,
    OrderCompleted,
    OrderFact,
    OrderLine,
    ShipmentNoted,
    ShippedQuantity,
)
from shared.errors import ConflictError, DomainError, NotFoundError
from shared.eventsourced.testing import Scenario
from shared.values import evolved
from tests.order.samples import (
    AT,
    CANCEL,
    CANCELLED,
    COMPLETED,
    CONFIRM,
    CONFIRMED,
    CREDITED,
    DECLINE,
    FINISH,
    HELD,
    INVOICED,
    LINES,
    PAID,
    PLACE,
    PLACED,
    REFER,
    REFERRED,
    REFUSE,
    REFUSED,
    REJECT,
    REJECTED,
    RELEASED,
    REOPENED,
    REQUESTED,
    RESERVED,
    SHIPPED,
    O,
    cancelled,
    cancelling,
    completed,
    confirmed,
    held,
    new,
    note,
    paid,
    placed,
    rejected,
    shipped,
)
from tests.support.examples import examples

# ---- the table

STATES = {
    "new": new,
    "placed": placed,
    "held": held,
    "confirmed": confirmed,
    "shipped": shipped,
    "paid": paid,
    "cancelling": cancelling,
    "cancelled": cancelled,
    "rejected": rejected,
    "completed": completed,
}

COMMANDS: dict[str, OrderCommand] = {
    "place": PLACE,
    "confirm": CONFIRM,
    "decline": DECLINE,
    "refer": REFER,
    "reject": REJECT,
    "cancel": CANCEL,
    "finish": FINISH,
    "refuse": REFUSE,
    "allocated": note(RESERVED),
    "shipped": note(SHIPPED),
    "invoiced": note(INVOICED),
    "paid": note(PAID),
    "reopened": note(REOPENED),
    "credited": note(CREDITED),
}

N: tuple[Any, ...] = ()  # nothing
TABLE: dict[str, dict[str, Any]] = {
    "place": {"new": (PLACED,)},
    "confirm": {"placed": (CONFIRMED,), "held": (RELEASED, CONFIRMED)},
    "decline": {"placed": (HELD,)},
    "refer": {"placed": (REFERRED,), "held": (REFERRED,)},
    "reject": {"held": (REJECTED,), "rejected": N, "new": "not_found", "*": "not_held"},
    "cancel": {
        "new": "not_found",
        "placed": (CANCELLED,),
        "held": (CANCELLED,),
        "confirmed": (REQUESTED,),
        "paid": (REQUESTED,),
        "shipped": "already_shipped",
        "rejected": "rejected",
        "completed": "already_shipped",
    },
    "finish": {"cancelling": (CANCELLED,)},
    "refuse": {"cancelling": (REFUSED,)},
    "allocated": {"new": N, "*": (RESERVED,)},
    "shipped": {"new": N, "shipped": N, "paid": (SHIPPED, COMPLETED), "completed": N, "*": (SHIPPED,)},
    "invoiced": {"new": N, "paid": N, "completed": N, "*": (INVOICED,)},
    "paid": {"new": N, "paid": N, "completed": N, "*": (PAID,)},
    "reopened": {"paid": (REOPENED,), "completed": (REOPENED,)},
    "credited": {"new": N, "*": (CREDITED,)},
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STATES)
def test_every_command_in_every_state(state: str, command: str) -> None:
    sentence = STATES[state].when(COMMANDS[command])
    expected = TABLE[command].get(state, TABLE[command].get("*", N))
    if isinstance(expected, str):
        sentence.then_refuses(NotFoundError if expected == "not_found" else DomainError, expected)
    else:
        sentence.then(*expected)


def test_the_table_knows_every_status_and_every_command() -> None:
    assert {scenario.state().status for scenario in STATES.values()} == set(get_args(Status))
    assert {type(command) for command in COMMANDS.values()} == set(get_args(OrderCommand))
    assert set(get_args(OrderFact)) == set(order.facts)


# ---- placing


def test_totals_round_tax_per_document() -> None:
    """Rule 2: 10 lines of 0.33 at 19 % are 0.63 of tax, not 10 × 0.06."""
    lines = tuple(OrderLine(n, f"SKU-{n}", 1, 33, 1_900) for n in range(1, 11))
    (fact,) = new.when(evolved(PLACE, lines=lines)).facts()
    assert (fact.net_minor, fact.tax_minor, fact.total_minor) == (330, 63, 393)


def test_tax_is_rounded_half_up_per_rate() -> None:
    lines = (OrderLine(1, "A", 1, 5, 1_000), OrderLine(2, "B", 1, 5, 3_000))
    (fact,) = new.when(evolved(PLACE, lines=lines)).facts()
    assert fact.tax_minor == 1 + 2  # 0.5 → 1 and 1.5 → 2


def test_a_repeat_in_another_zone_is_a_repeat() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    placed.when(evolved(PLACE, placed_at=elsewhere)).then_nothing()
    (fact,) = new.when(evolved(PLACE, placed_at=elsewhere)).facts()
    assert fact.placed_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": "C-2"},
        {"currency": "GBP"},
        {"lines": LINES[:1]},
        {"placed_at": AT + timedelta(microseconds=1)},
        {"payment_terms_days": 31},
        {"prepaid": True},
        {"ship_complete": False},
        {"invoice_on": "confirmation"},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("state", [s for s in STATES if s != "new"])
def test_the_same_id_with_other_content_is_a_conflict(state: str, change: dict[str, Any]) -> None:
    """Rule 33."""
    STATES[state].when(evolved(PLACE, **change)).then_refuses(ConflictError, "conflict")


def test_a_repeat_whose_sender_never_said_when_is_a_repeat() -> None:
    later = evolved(PLACE, placed_at=AT + timedelta(days=400), placed_at_given=False)
    placed.when(later).then_nothing()
    placed.when(evolved(later, currency="GBP")).then_refuses(ConflictError)


# ---- held orders


def test_declined_then_approved_releases_and_confirms() -> None:
    placed.when(DECLINE).when(CONFIRM).then(RELEASED, CONFIRMED)
    assert placed.when(DECLINE).when(CONFIRM).state().reason == ""


def test_referred_then_declined_by_a_person_stays_held_for_another_reason() -> None:
    placed.when(REFER).when(DECLINE).then(HELD)
    placed.when(REFER).when(REFER).then_nothing()


# ---- cancelling


def test_cancel_beats_credit() -> None:
    placed.when(CANCEL).when(CONFIRM).then_nothing()
    placed.when(CANCEL).when(DECLINE).then_nothing()


def test_cancel_beats_shipping_when_fulfillment_says_so() -> None:
    finished = confirmed.when(CANCEL).when(FINISH)
    finished.then(CANCELLED)
    assert finished.state().reason == "Ordered twice"
    finished.when(REFUSE).then_nothing()


def test_shipping_beats_cancel_and_the_order_goes_on_to_its_end() -> None:
    """Rule 36: one winner."""
    going_on = confirmed.when(CANCEL).when(note(SHIPPED)).when(REFUSE)
    going_on.then(REFUSED)
    going_on.when(FINISH).then_nothing()
    going_on.when(note(INVOICED)).when(note(PAID)).then(PAID, COMPLETED)


def test_an_order_is_not_completed_while_its_cancellation_is_open() -> None:
    paid = confirmed.when(CANCEL).when(note(SHIPPED)).when(note(INVOICED)).when(note(PAID))
    paid.then(PAID)
    paid.when(REFUSE).then(REFUSED, COMPLETED)


def test_an_order_that_has_shipped_in_part_cannot_be_cancelled() -> None:
    part = ShipmentNoted("S-1", (ShippedQuantity(1, 1),), AT, False)
    confirmed.given(part).when(CANCEL).then_refuses(DomainError, "already_shipped")


# ---- completing, in whatever order it is heard


@pytest.mark.parametrize("heard", list(permutations((SHIPPED, INVOICED, PAID))), ids=str)
def test_the_last_thing_that_was_missing_completes_the_order(heard: tuple[Any, ...]) -> None:
    """Rule 34: the payment may be heard before its invoice, and both before the shipment."""
    sentence = confirmed
    for fact in heard:
        sentence = sentence.when(note(fact))
    sentence.then(heard[-1], COMPLETED)
    assert len(sentence.history) == 4
    state = sentence.state()
    assert (state.status, state.open_invoices, state.settled_minor) == ("completed", 0, 2_900)


def test_partial_shipments_are_invoiced_and_paid_one_by_one() -> None:
    story = confirmed
    for n, final in ((1, False), (2, True)):
        for fact in (
            ShipmentNoted(f"S-{n}", (ShippedQuantity(1, 1),), AT, final),
            InvoiceNoted(f"I-{n}", f"INV-2026-00000{n}", 1_450, final),
            InvoicePaymentNoted(f"I-{n}", f"INV-2026-00000{n}", 1_450),
        ):
            story = story.when(note(fact))
    story.then(story.command.progress, COMPLETED)
    assert dict(story.state().shipped) == {1: 2}


def test_one_unpaid_invoice_keeps_the_order_open() -> None:
    story = confirmed.given(SHIPPED, InvoiceNoted("I-0", "INV-2026-000000", 5, False), INVOICED)
    story.when(note(PAID)).then(PAID)


def test_an_invoice_over_nothing_is_never_paid_and_keeps_nothing_open() -> None:
    free = InvoiceNoted("I-1", "INV-2026-000001", 0, True)
    shipped.when(note(free)).then(free, COMPLETED)
    confirmed.given(free).when(note(InvoicePaymentNoted("I-1", "INV-2026-000001", 0))).then_nothing()


def test_invoiced_on_confirmation_the_shipment_comes_last() -> None:
    confirmed.given(INVOICED, PAID).when(note(SHIPPED)).then(SHIPPED, COMPLETED)


def test_a_return_after_completion_is_noted_and_the_order_stays_completed() -> None:
    returned = completed.when(note(CREDITED))
    returned.then(CREDITED)
    assert (returned.state().status, returned.state().credited_minor) == ("completed", 900)
    returned.when(note(CREDITED)).then_nothing()


def test_a_cancelled_order_is_never_completed() -> None:
    """Invoiced at confirmation, paid, then cancelled: what is heard later does not bring it back."""
    story = confirmed.given(INVOICED, REQUESTED, CANCELLED).when(note(PAID))
    story.then(PAID)
    assert story.state().status == "cancelled"


def test_allocation_is_noted_only_when_it_changes() -> None:
    backordered, partial = AllocationNoted("backordered"), AllocationNoted("partial")
    story = confirmed.when(note(backordered)).when(note(partial))
    story.when(note(partial)).then_nothing()
    story.when(note(RESERVED)).then(RESERVED)


# ---- money that is taken back


def test_an_order_is_not_completed_while_its_invoice_is_open_again() -> None:
    story = paid.when(note(REOPENED)).when(note(SHIPPED))
    story.then(SHIPPED)
    assert (story.state().open_invoices, story.state().settled_minor) == (1, 0)
    story.when(note(PAID)).then(PAID, COMPLETED)


def test_an_order_shipped_in_parts_waits_for_the_invoice_that_is_open_again() -> None:
    first = InvoiceNoted("I-0", "INV-2026-000000", 5, False), InvoicePaymentNoted("I-0", "INV-2026-000000", 5)
    again = InvoiceReopened("I-0", "INV-2026-000000", 5)
    story = confirmed.given(*first).when(note(again)).when(note(SHIPPED)).when(note(INVOICED)).when(note(PAID))
    story.then(PAID)
    assert (story.state().open_invoices, story.state().settled_minor) == (1, 2_900)
    story.when(note(first[1])).then(first[1], COMPLETED)


def test_of_two_payments_the_first_that_is_taken_back_opens_the_invoice_and_the_second_changes_nothing() -> None:
    part = evolved(REOPENED, open_minor=1_700)
    story = paid.when(note(part))
    story.then(part)
    story.when(note(evolved(part, open_minor=2_900))).then_nothing()


def test_money_taken_back_from_an_invoice_that_was_never_paid_changes_nothing() -> None:
    confirmed.when(note(REOPENED)).then_nothing()
    confirmed.given(INVOICED).when(note(REOPENED)).then_nothing()


def test_an_invoice_paid_and_open_again_before_it_was_heard_of_is_open() -> None:
    story = shipped.when(note(PAID)).when(note(REOPENED))
    story.then(REOPENED)
    assert (story.state().open_invoices, story.state().settled_minor) == (0, 0)
    invoiced = story.when(note(INVOICED))
    invoiced.then(INVOICED)
    assert invoiced.state().open_invoices == 1
    invoiced.when(note(PAID)).then(PAID, COMPLETED)
    story.when(note(PAID)).when(note(INVOICED)).then(INVOICED, COMPLETED)


def test_an_order_that_is_completed_stays_so_and_shows_that_its_invoice_is_open_again() -> None:
    reopened = completed.when(note(REOPENED))
    reopened.then(REOPENED)
    state = reopened.state()
    assert (state.status, state.open_invoices, state.settled_minor) == ("completed", 1, 0)
    again = reopened.when(note(PAID))
    again.then(PAID)
    assert (again.state().status, again.state().open_invoices) == ("completed", 0)


def test_a_cancellation_that_is_refused_does_not_complete_an_order_whose_invoice_is_open_again() -> None:
    story = confirmed.given(INVOICED, PAID, REQUESTED, SHIPPED).when(note(REOPENED))
    story.then(REOPENED)
    story.when(REFUSE).then(REFUSED)


# ---- whatever happens

LATER: list[OrderCommand] = [
    CONFIRM,
    DECLINE,
    REFER,
    FINISH,
    REFUSE,
    *(
        note(fact)
        for n in (1, 2)
        for fact in (
            ShipmentNoted(f"S-{n}", (ShippedQuantity(1, 1),), AT, n == 2),
            InvoiceNoted(f"I-{n}", f"INV-{n}", 1_450, n == 2),
            InvoicePaymentNoted(f"I-{n}", f"INV-{n}", 1_450),
        )
    ),
    note(CREDITED),
    *(note(InvoiceReopened(f"I-{n}", f"INV-{n}", 450)) for n in (1, 2)),
]
FIRST_INVOICE = note(InvoiceNoted("I-1", "INV-1", 1_450, False))
ENDS = {"cancelled", "rejected", "completed"}


@given(st.lists(st.sampled_from([PLACE, CANCEL, REJECT, *LATER]), max_size=40))
@examples(400)
def test_an_end_is_an_end_and_money_adds_up(commands: list[OrderCommand]) -> None:
    state: Order = order.initial
    history: list[Any] = []
    for command in commands:
        if command == FIRST_INVOICE and state.invoiced_fully:
            continue  # billing says the final invoice of an order last, and one speaker is heard in order
        before = state.status
        try:
            facts = order.decide(state, command)
        except DomainError:
            assert command in (CANCEL, REJECT)
            continue
        state = order.fold(facts, state)
        history += facts
        # What opens an invoice after the order is completed is noted, and changes no end.
        assert OrderCompleted not in map(type, facts) or not state.open_invoices
        if before in ENDS:
            assert state.status == before
    assert state == order.fold(history)
    assert sum(isinstance(fact, OrderCompleted) for fact in history) <= 1
    issued = [i for i in state.invoices.values() if i.issued]
    assert state.invoiced_minor == sum(i.total_minor for i in issued)
    assert state.settled_minor == sum(i.total_minor for i in state.invoices.values() if i.paid)
    assert state.open_invoices == sum(not i.paid for i in issued)
    if state.status == "completed":
        assert state.shipped_fully
        assert state.invoiced_fully


@given(st.permutations(LATER[5:11]))
@examples(200)
def test_every_order_of_arrival_completes_the_order_exactly_once(heard: list[OrderCommand]) -> None:
    """A speaker's own messages keep their order, so its final one is its last; between speakers anything goes."""
    rank = {id(command): n for n, command in enumerate(LATER)}
    for offset in range(3):  # shipments, invoices, payments: each in the order they were said
        places = [i for i, command in enumerate(heard) if (rank[id(command)] - 5) % 3 == offset]
        said = sorted((heard[i] for i in places), key=lambda command: rank[id(command)])
        for i, command in zip(places, said, strict=True):
            heard[i] = command
    story: Scenario = confirmed
    for command in heard:
        story = story.when(command)
    assert story.state().status == "completed"
    assert story.facts()[-1] == COMPLETED
    assert COMPLETED not in story.history


@given(st.data())
@examples(200)
def test_payments_taken_back_and_made_again_complete_the_order_exactly_when_all_is_there_and_paid(
    data: st.DataObject,
) -> None:
    """Each speaker is heard in order, at any pace beside the others; of each invoice the last word of money counts."""
    shipments, invoices = LATER[5:11:3], LATER[6:11:3]
    money = [
        word
        for paid, again in zip(LATER[7:11:3], LATER[-2:], strict=True)
        for word in [paid, again] * data.draw(st.integers(0, 3)) + [paid] * data.draw(st.integers(0, 1))
    ]
    speakers = [list(words) for words in (shipments, invoices, money)]
    state = confirmed.state()
    while any(speakers):
        speaker = data.draw(st.sampled_from([words for words in speakers if words]))
        state = order.fold(order.decide(state, speaker.pop(0)), state)
        due = [i for i in state.invoices.values() if i.issued and not i.paid]
        assert state.open_invoices == len(due)
        if state.status != "completed":
            assert due or not (state.shipped_fully and state.invoiced_fully)
    assert state.settled_minor == sum(i.total_minor for i in state.invoices.values() if i.paid)


def test_an_order_of_500_lines_is_placed_and_confirmed() -> None:
    lines = tuple(OrderLine(n, f"SKU-{n}", 1, 1, 0) for n in range(1, 501))
    (fact,) = new.when(evolved(PLACE, lines=lines)).facts()
    (confirmed_fact,) = new.given(fact).when(CONFIRM).facts()
    assert confirmed_fact.lines == lines
    assert confirmed_fact.order_id == O


def test_the_instant_of_confirmation_is_the_instant_of_the_approval() -> None:
    at = datetime(2026, 4, 1, 8, tzinfo=AT.tzinfo)
    assert placed.when(evolved(CONFIRM, at=at)).state().confirmed_at == at
