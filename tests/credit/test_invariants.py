"""What must always hold for credit, whatever happens in whatever order."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.credit.domain.credit_account import CreditAccount, credit_account
from services.credit.domain.credit_commands import (
    ApproveCredit,
    CreditCommand,
    DeclineCredit,
    HoldAccount,
    NoteCreditNote,
    NotePayment,
    NoteWriteOff,
    OpenCreditAccount,
    ReleaseAccount,
    RequestCredit,
    SetCreditLimit,
)
from services.credit.domain.credit_facts import (
    CreditApproved,
    CreditDeclined,
    CreditNoteNoted,
    CreditReferred,
    CreditReleased,
    CreditRequestWithdrawn,
    InvoiceNoted,
    PaymentNoted,
    WriteOffNoted,
)
from services.credit.domain.queue import Queue
from shared.errors import DomainError
from tests.credit.samples import C, invoice, release
from tests.support.examples import examples

ORDERS = st.sampled_from([f"O-{n}" for n in range(8)])
AMOUNTS = st.integers(0, 500)
CURRENCIES = st.sampled_from(["EUR", "EUR", "EUR", "USD"])

COMMANDS: st.SearchStrategy[CreditCommand] = st.one_of(
    st.builds(RequestCredit, ORDERS, st.just(C), AMOUNTS, CURRENCIES, st.booleans(), st.just(1_000)),
    st.builds(RequestCredit, ORDERS, st.just(C), AMOUNTS, CURRENCIES, st.just(False), st.just(1_000)),
    st.builds(invoice, ORDERS, AMOUNTS, final=st.booleans()),
    st.builds(NotePayment, st.just(C), AMOUNTS, CURRENCIES),
    st.builds(NoteCreditNote, st.just(C), AMOUNTS, CURRENCIES),
    st.builds(NoteWriteOff, st.just(C), st.integers(-500, 500), CURRENCIES),
    st.builds(release, ORDERS),
    st.just(OpenCreditAccount(C, 1_000, "EUR")),
    st.builds(SetCreditLimit, st.just(C), st.integers(0, 2_000)),
    st.just(HoldAccount(C, "why not")),
    st.just(ReleaseAccount(C)),
    st.builds(ApproveCredit, ORDERS, st.just(C), st.just("Ada")),
    st.builds(DeclineCredit, ORDERS, st.just(C), st.just("Ada")),
)


def run(commands: Sequence[CreditCommand]) -> list[tuple[CreditAccount, CreditCommand, Sequence[Any], CreditAccount]]:
    """Every command that was not refused, between the states before and after it."""
    state, steps = credit_account.initial, []
    for command in commands:
        try:
            facts = credit_account.decide(state, command)
        except DomainError:
            continue
        after = credit_account.fold(facts, state)
        steps.append((state, command, facts, after))
        state = after
    return steps


def exposure_of(history: Sequence[Any], currency: str) -> int:
    """Exposure as docs/business.md defines it, from the facts alone and in the plainest way."""
    reserved: dict[str, int] = {}
    ahead: dict[str, int | None] = {}  # invoiced before approved; None: wholly
    owed = 0
    for fact in (fact for fact in history if getattr(fact, "currency", currency) == currency):
        match fact:
            case CreditApproved(order_id=order_id, amount_minor=amount):
                before = ahead.pop(order_id, 0)
                if before is not None:
                    reserved[order_id] = max(amount - before, 0)
            case CreditReleased(order_id=order_id):
                del reserved[order_id]
            case InvoiceNoted(order_id=order_id, amount_minor=amount, final=final):
                owed += amount
                if order_id not in reserved:
                    before = ahead.get(order_id, 0)
                    ahead[order_id] = None if final or before is None else before + amount
                elif final:
                    del reserved[order_id]
                else:
                    reserved[order_id] = max(reserved[order_id] - amount, 0)
            case PaymentNoted(amount_minor=amount) | CreditNoteNoted(amount_minor=amount):
                owed -= amount
            case WriteOffNoted(amount_minor=amount):
                owed -= amount
    return sum(reserved.values()) + owed


@given(st.lists(COMMANDS, max_size=60))
@examples(300)
def test_exposure_recomputed_from_the_history_is_the_stored_one(commands: list[CreditCommand]) -> None:
    history: list[Any] = []
    for _, _, facts, after in run(commands):
        history += facts
        for currency, book in after.books.items():
            assert book.exposure_minor == exposure_of(history, currency)
            open_now = [r.amount_minor for r in after.reservations.values() if r.currency == currency]
            assert book.reserved_minor == sum(open_now)


@given(st.lists(COMMANDS, max_size=60))
@examples(300)
def test_policy_never_approves_beyond_the_limit_nor_for_a_held_account(commands: list[CreditCommand]) -> None:
    for before, command, facts, after in run(commands):
        done = {order_id for book in before.books.values() for order_id, ahead in book.ahead.items() if ahead.final}
        by_policy = [
            f for f in facts if isinstance(f, CreditApproved) and f.approved_by == "policy" and f.order_id not in done
        ]
        prepaid = {order_id for order_id, request in before.requests.items() if request.prepaid}
        if isinstance(command, RequestCredit) and command.prepaid:
            prepaid.add(command.order_id)
        if any(fact.order_id not in prepaid for fact in by_policy):
            assert after.exposure_minor <= after.limit_minor
        if before.held and not isinstance(command, ReleaseAccount):
            assert not by_policy


@given(st.lists(COMMANDS, max_size=60))
@examples(300)
def test_every_order_is_answered_and_nothing_that_fits_is_left_waiting(commands: list[CreditCommand]) -> None:
    for before, command, facts, after in run(commands):
        if isinstance(command, RequestCredit):
            open_before = command.order_id in before.reservations or command.order_id in before.requests
            answers = [f for f in facts if isinstance(f, CreditApproved | CreditDeclined | CreditReferred)]
            assert open_before or answers[-1].order_id == command.order_id
        if after.opened and not after.held:
            assert after.book.queue.oldest_within(after.available_minor) is None
            assert not after.prepaid.order_ids
        assert not set(after.requests) & set(after.reservations)


@given(
    st.integers(1, 10_000).flatmap(
        lambda total: st.tuples(st.just(total), st.lists(st.integers(0, total), max_size=5).map(sorted))
    )
)
def test_exposure_does_not_change_at_the_instant_of_invoicing(parts: tuple[int, list[int]]) -> None:
    """Rule 10, for every way to split an order into invoices that sum to it."""
    total, cuts = parts
    bounds = [0, *cuts, total]
    amounts = [b - a for a, b in pairwise(bounds)]
    account = credit_account.fold([CreditApproved("O-1", C, total, "EUR")])
    for n, amount in enumerate(amounts, 1):
        facts = credit_account.decide(account, invoice("O-1", amount, final=n == len(amounts)))
        account = credit_account.fold(facts, account)
        assert account.books["EUR"].exposure_minor == total
    assert not account.reservations
    assert account.books["EUR"].reserved_minor == 0


@given(
    st.lists(
        st.one_of(st.integers(0, 50), st.tuples(st.just("leave"), st.integers(0, 30)), st.just("take")), max_size=80
    ),
    st.integers(0, 50),
)
@examples(300)
def test_the_queue_answers_like_a_plain_list(steps: list[Any], within: int) -> None:
    queue, plain = Queue(), list[tuple[int, str, int]]()
    for step in steps:
        match step:
            case int(amount):
                queue = queue.joined(f"O-{queue.last + 1}", amount)
                plain.append((queue.last, f"O-{queue.last}", amount))
            case ("leave", place) if plain:
                queue = queue.left(plain.pop(place % len(plain))[0])
        first = next((entry for entry in plain if entry[2] <= within), None)
        found = queue.oldest_within(within)
        assert (found and (found.number, found.order_id, found.amount_minor)) == first
    for number, *_ in plain:
        queue = queue.left(number)
    assert not queue.smallest
    assert not queue.order_ids


def test_a_crowded_queue_costs_no_more_than_an_empty_one() -> None:
    """Nodes that a step touches, counted: they do not grow with the number of orders that wait."""
    crowded = Queue()
    for n in range(3_000):
        crowded = crowded.joined(f"O-{n}", 1_000 + n % 7)
    joined = crowded.joined("O-last", 1)
    changed = [n for n, amount in joined.smallest.items() if crowded.smallest.get(n) != amount]
    assert len(changed) == 12
    found = joined.oldest_within(999)
    assert found is not None
    assert found.order_id == "O-last"


def test_a_withdrawn_order_leaves_no_trace_in_the_state() -> None:
    waiting = credit_account.fold([CreditDeclined("O-1", C, 5, "EUR", "no_account", 0)])
    ended = credit_account.evolve(waiting, CreditRequestWithdrawn("O-1"))
    assert not ended.requests
    assert not ended.books["EUR"].queue.smallest
