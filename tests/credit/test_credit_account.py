"""Who may owe us how much: every path of a credit account, as sentences."""

import pytest

from services.credit.domain.credit_account import APPROVALS_MAX, CreditAccount
from services.credit.domain.credit_commands import (
    ApproveCredit,
    CreditCommand,
    DeclineCredit,
    HoldAccount,
    NoteCreditNote,
    NoteWriteOff,
    OpenCreditAccount,
    ReleaseAccount,
    SetCreditLimit,
)
from services.credit.domain.credit_facts import (
    AccountHeld,
    AccountReleased,
    CreditApproved,
    CreditDeclined,
    CreditLimitSet,
    CreditNoteNoted,
    CreditReleased,
    CreditRequestWithdrawn,
    WriteOffNoted,
)
from shared.errors import DomainError, NotFoundError
from shared.eventsourced.testing import Scenario
from tests.credit.samples import (
    LIMIT,
    OPENED,
    C,
    account,
    approved,
    declined,
    invoice,
    invoiced,
    paid,
    pay,
    referred,
    release,
    request,
    unknown,
)

HELD = AccountHeld(C, "Insolvency announced")

# ---- approve, refer, decline


def test_an_order_of_exactly_the_limit_is_approved() -> None:
    account.when(request("O-1", LIMIT)).then(approved("O-1", LIMIT))


def test_one_cent_over_the_limit_is_referred_to_a_person() -> None:
    account.when(request("O-1", LIMIT + 1)).then(referred("O-1", LIMIT + 1, 1))


def test_an_excess_of_exactly_the_tolerance_is_referred_and_one_cent_more_is_declined() -> None:
    account.when(request("O-1", 110_000)).then(referred("O-1", 110_000, 10_000))
    account.when(request("O-1", 110_001)).then(declined("O-1", 110_001, LIMIT))


def test_without_tolerance_one_cent_over_the_limit_is_declined() -> None:
    account.when(request("O-1", LIMIT + 1, tolerance_bp=0)).then(declined("O-1", LIMIT + 1, LIMIT))


def test_an_order_over_nothing_is_approved() -> None:
    account.given(approved("O-1", LIMIT)).when(request("O-2", 0)).then(approved("O-2", 0))


def test_an_unknown_customer_is_declined() -> None:
    unknown.when(request("O-1", 1)).then(declined("O-1", 1, 0, "no_account"))


def test_another_currency_is_declined() -> None:
    account.when(request("O-1", 1, currency="USD")).then(CreditDeclined("O-1", C, 1, "USD", "currency_mismatch", 0))


def test_a_held_account_is_declined_whatever_is_available() -> None:
    account.given(HELD).when(request("O-1", 1)).then(declined("O-1", 1, LIMIT, "account_held"))


def test_two_orders_cannot_both_take_the_last_of_the_limit() -> None:
    """Rule 11: 60.00 and 60.00 of 100.00."""
    first = unknown.given(OPENED).when(request("O-1", 60_000))
    first.then(approved("O-1", 60_000))
    first.when(request("O-2", 60_000)).then(declined("O-2", 60_000, 40_000))


@pytest.mark.parametrize("amount", [1_000, 105_000, 200_000], ids=["approved", "referred", "declined"])
def test_a_repeat_leads_to_nothing(amount: int) -> None:
    account.when(request("O-1", amount)).when(request("O-1", amount)).then_nothing()


# ---- prepaid


def test_a_prepaid_order_is_approved_beyond_the_limit_and_reserves_until_it_is_paid_and_invoiced() -> None:
    prepaid = account.given(approved("O-1", LIMIT)).when(request("O-2", 500_000, prepaid=True))
    prepaid.then(CreditApproved("O-2", C, 500_000, "EUR"))
    assert prepaid.state().exposure_minor == LIMIT + 500_000
    assert prepaid.when(pay(500_000)).state().exposure_minor == LIMIT


def test_a_prepaid_order_needs_no_account_and_no_currency_of_ours() -> None:
    unknown.when(request("O-1", 5, prepaid=True)).then(CreditApproved("O-1", C, 5, "EUR"))
    account.when(request("O-1", 5, currency="USD", prepaid=True)).then(CreditApproved("O-1", C, 5, "USD"))


def test_a_prepaid_order_of_a_held_account_waits_for_the_release() -> None:
    held = account.given(approved("O-0", LIMIT + 5), HELD).when(request("O-1", 5, currency="USD", prepaid=True))
    held.then(CreditDeclined("O-1", C, 5, "USD", "account_held", 0, True))
    held.when(pay(10)).then(paid(10))
    released = held.when(ReleaseAccount(C))
    released.then(AccountReleased(C), CreditApproved("O-1", C, 5, "USD", waited=True))
    assert released.state().books["USD"].exposure_minor == 5


# ---- money comes in: waiting orders, oldest first


def test_a_payment_lets_waiting_orders_go_on_oldest_first() -> None:
    waiting = account.given(
        approved("O-1", LIMIT),
        invoiced("O-1", LIMIT),
        declined("O-2", 40_000, 0),
        declined("O-3", 30_000, 0),
        declined("O-4", 30_000, 0),
    )
    waiting.when(pay(70_000)).then(
        paid(70_000), approved("O-2", 40_000, waited=True), approved("O-3", 30_000, waited=True)
    )


def test_a_small_order_passes_a_large_one_that_does_not_fit_yet() -> None:
    waiting = account.given(approved("O-1", LIMIT), declined("O-2", 90_000, 0), declined("O-3", 20_000, 0))
    waiting.when(pay(50_000)).then(paid(50_000), approved("O-3", 20_000, waited=True))


def test_a_referred_order_that_fits_by_now_goes_on_without_a_person() -> None:
    waiting = account.given(approved("O-1", LIMIT), referred("O-2", 5_000, 5_000))
    waiting.when(pay(5_000)).then(paid(5_000), approved("O-2", 5_000, waited=True))


def test_too_small_a_payment_leaves_them_waiting() -> None:
    waiting = account.given(approved("O-1", LIMIT), declined("O-2", 40_000, 0))
    waiting.when(pay(39_999)).then(paid(39_999))


WAITING = account.given(approved("O-1", LIMIT), declined("O-2", 40_000, 0))


@pytest.mark.parametrize(
    ("command", "fact"),
    [
        (release("O-1"), CreditReleased("O-1", C, LIMIT, "EUR")),
        (SetCreditLimit(C, LIMIT + 40_000), CreditLimitSet(C, LIMIT + 40_000, "EUR")),
        (NoteCreditNote(C, 40_000, "EUR"), CreditNoteNoted(40_000, "EUR")),
        (NoteWriteOff(C, 40_000, "EUR"), WriteOffNoted(40_000, "EUR")),
        (invoice("O-1", 60_000), invoiced("O-1", 60_000)),
    ],
    ids=["cancelled", "limit raised", "credit note", "written off", "closed short by the final invoice"],
)
def test_whatever_lowers_exposure_or_raises_the_limit_tries_again(command: CreditCommand, fact: object) -> None:
    WAITING.when(command).then(fact, approved("O-2", 40_000, waited=True))


def test_opening_the_account_tries_orders_that_came_before_it() -> None:
    early = unknown.given(declined("O-1", 70_000, 0, "no_account"), declined("O-2", 70_000, 0, "no_account"))
    early.when(OpenCreditAccount(C, LIMIT, "EUR")).then(OPENED, approved("O-1", 70_000, waited=True))
    early.when(OpenCreditAccount(C, LIMIT, "USD")).then(OPENED.__class__(C, LIMIT, "USD"))


def test_a_held_account_tries_nothing_until_released() -> None:
    held = WAITING.given(HELD)
    held.when(pay(LIMIT)).then(paid(LIMIT))
    held.when(pay(LIMIT)).when(ReleaseAccount(C)).then(AccountReleased(C), approved("O-2", 40_000, waited=True))


def test_one_command_approves_a_bounded_number_and_the_next_goes_on_before_a_newer_order() -> None:
    more = APPROVALS_MAX + 2
    queued = [declined(f"W-{n:02}", 100, 0) for n in range(more)]
    waiting = account.given(approved("O-1", LIMIT), *queued).when(pay(100 * (more + 1)))
    assert len(waiting.facts()) == 1 + APPROVALS_MAX
    rest = waiting.when(request("O-2", 200))
    rest.then(approved("W-20", 100, waited=True), approved("W-21", 100, waited=True), referred("O-2", 200, 100))


def test_waiting_orders_of_another_currency_are_never_mixed_in() -> None:
    other = account.given(CreditDeclined("O-1", C, 1, "USD", "currency_mismatch", 0))
    other.when(pay(1_000)).then(paid(1_000))
    other.when(pay(1_000, "USD")).then(paid(1_000, "USD"))


# ---- a person decides


def test_a_person_approves_a_referred_order_over_the_limit() -> None:
    waiting = account.given(referred("O-1", 105_000, 5_000))
    decided = waiting.when(ApproveCredit("O-1", C, "Ada Byron", "Bank guarantee"))
    decided.then(approved("O-1", 105_000, waited=True, by="Ada Byron", note="Bank guarantee"))
    assert decided.state().available_minor == -5_000


def test_a_person_approves_a_declined_order() -> None:
    WAITING.when(ApproveCredit("O-2", C, "Ada Byron")).then(approved("O-2", 40_000, waited=True, by="Ada Byron"))


DECLINED_BY_ADA = CreditDeclined("O-2", C, 40_000, "EUR", "declined_by_person", 0, False, "Ada Byron", "Two overdue")


def test_a_person_declines_and_money_does_not_change_that_but_a_person_may() -> None:
    decided = WAITING.when(DeclineCredit("O-2", C, "Ada Byron", "Two overdue"))
    decided.then(DECLINED_BY_ADA)
    decided.when(DeclineCredit("O-2", C, "Bob")).then_nothing()
    decided.when(pay(LIMIT)).then(paid(LIMIT))
    decided.when(ApproveCredit("O-2", C, "Bob")).then(approved("O-2", 40_000, waited=True, by="Bob"))


def test_a_person_approves_twice_and_it_counts_once() -> None:
    WAITING.when(ApproveCredit("O-2", C, "Ada")).when(ApproveCredit("O-2", C, "Bob")).then_nothing()


def test_a_person_cannot_decline_what_money_has_approved_meanwhile() -> None:
    WAITING.when(pay(40_000)).when(DeclineCredit("O-2", C, "Ada")).then_refuses(DomainError, "already_approved")


@pytest.mark.parametrize("command", [ApproveCredit("O-9", C, "Ada"), DeclineCredit("O-9", C, "Ada")])
def test_nobody_can_decide_on_an_order_that_does_not_wait(command: CreditCommand) -> None:
    account.when(command).then_refuses(NotFoundError, "not_waiting")


def test_a_person_cannot_approve_what_the_account_cannot_carry() -> None:
    usd = CreditDeclined("O-1", C, 1, "USD", "currency_mismatch", 0)
    ask = ApproveCredit("O-1", C, "Ada")
    account.given(usd).when(ask).then_refuses(DomainError, "currency_mismatch")
    unknown.given(declined("O-1", 1, 0, "no_account")).when(ask).then_refuses(DomainError, "no_account")
    account.given(HELD, declined("O-1", 1, LIMIT, "account_held")).when(ask).then_refuses(DomainError, "account_held")


# ---- exposure


def test_invoicing_moves_the_amount_and_exposure_stays() -> None:
    """Rule 10."""
    before = account.given(approved("O-1", 90_000))
    first = before.when(invoice("O-1", 30_000, final=False))
    second = first.when(invoice("O-1", 60_000))
    assert [s.state().exposure_minor for s in (before, first, second)] == [90_000] * 3
    assert [s.state().book.reserved_minor for s in (before, first, second)] == [90_000, 60_000, 0]
    assert not second.state().reservations


def test_payments_credit_notes_and_write_offs_lower_exposure() -> None:
    owed = account.given(approved("O-1", 90_000), invoiced("O-1", 90_000), paid(50_000))
    rest = owed.given(CreditNoteNoted(30_000, "EUR"), WriteOffNoted(10_000, "EUR"))
    assert (owed.state().exposure_minor, rest.state().exposure_minor) == (40_000, 0)


def test_a_write_off_that_is_reversed_is_owed_again() -> None:
    written_off = account.given(approved("O-1", 90_000), invoiced("O-1", 90_000), WriteOffNoted(90_000, "EUR"))
    reversed_off = written_off.when(NoteWriteOff(C, -90_000, "EUR"))
    reversed_off.then(WriteOffNoted(-90_000, "EUR"))
    assert (written_off.state().exposure_minor, reversed_off.state().exposure_minor) == (0, 90_000)
    assert reversed_off.when(NoteCreditNote(C, 90_000, "EUR")).state().exposure_minor == 0


def test_who_pays_what_was_written_off_gets_no_credit_for_it_meanwhile() -> None:
    """As receivables says it: the reversal first. An order that does not fit must not slip in between the two."""
    owed = account.given(approved("O-1", 90_000), invoiced("O-1", 90_000), WriteOffNoted(90_000, "EUR"))
    waiting = owed.when(request("O-2", LIMIT + 50_000))
    recovered = waiting.when(NoteWriteOff(C, -90_000, "EUR")).when(pay(90_000))
    recovered.then(paid(90_000))
    assert recovered.state().exposure_minor == 0


def test_money_before_the_account_counts_once_it_is_open() -> None:
    early = unknown.given(paid(500), paid(70, "USD")).when(OpenCreditAccount(C, LIMIT, "EUR"))
    assert early.state().exposure_minor == -500
    early.when(request("O-1", LIMIT + 500)).then(approved("O-1", LIMIT + 500))


# ---- the order ends


def test_an_ended_order_gives_back_what_it_still_reserves() -> None:
    ended = account.given(approved("O-1", 90_000), invoiced("O-1", 30_000, final=False)).when(release("O-1"))
    ended.then(CreditReleased("O-1", C, 60_000, "EUR"))
    assert ended.state().exposure_minor == 30_000
    ended.when(release("O-1")).then_nothing()


def test_an_ended_order_waits_no_more() -> None:
    ended = WAITING.when(release("O-2"))
    ended.then(CreditRequestWithdrawn("O-2"))
    ended.when(pay(LIMIT)).then(paid(LIMIT))
    WAITING.given(DECLINED_BY_ADA).when(release("O-2")).then(CreditRequestWithdrawn("O-2"))


def test_the_end_of_an_unknown_order_leads_to_nothing() -> None:
    account.when(release("O-9")).then_nothing()
    account.given(approved("O-1", 5), invoiced("O-1", 5)).when(release("O-1")).then_nothing()


# ---- managing the account: (state, command) → outcome


@pytest.mark.parametrize(
    ("state", "command", "facts"),
    [
        (unknown, OpenCreditAccount(C, LIMIT, "EUR"), [OPENED]),
        (account, OpenCreditAccount(C, 5, "USD"), []),
        (account, SetCreditLimit(C, LIMIT), []),
        (account, SetCreditLimit(C, 0), [CreditLimitSet(C, 0, "EUR")]),
        (account, HoldAccount(C, "Insolvency announced"), [HELD]),
        (account.given(HELD), HoldAccount(C, "Again"), []),
        (account.given(HELD), ReleaseAccount(C), [AccountReleased(C)]),
        (account, ReleaseAccount(C), []),
    ],
)
def test_managing_an_account(state: Scenario, command: CreditCommand, facts: list[object]) -> None:
    state.when(command).then(*facts)


@pytest.mark.parametrize("command", [SetCreditLimit(C, 1), HoldAccount(C, "x"), ReleaseAccount(C)])
def test_an_unknown_account_cannot_be_managed(command: CreditCommand) -> None:
    unknown.when(command).then_refuses(NotFoundError)


def test_nothing_that_services_say_is_ever_refused() -> None:
    """Every message's command, in every kind of state."""
    states = [
        unknown,
        account,
        account.given(HELD),
        WAITING,
        WAITING.given(DECLINED_BY_ADA),
        unknown.given(declined("O-2", 1, 0, "no_account")),
    ]
    said = [
        OpenCreditAccount(C, 1, "EUR"),
        request("O-1", 5),
        request("O-2", 5),
        request("O-3", 5, currency="USD"),
        invoice("O-1", 5),
        invoice("O-9", 5),
        pay(5),
        pay(5, "USD"),
        NoteCreditNote(C, 5, "EUR"),
        NoteWriteOff(C, 5, "EUR"),
        release("O-1"),
        release("O-2"),
        release("O-9"),
    ]
    for state in states:
        for command in said:
            assert isinstance(state.when(command).state(), CreditAccount)


# ---- invoices that are heard before their order, as after a restored store


def test_an_order_that_is_wholly_invoiced_already_is_approved_and_reserves_nothing() -> None:
    after = account.given(invoiced("O-1", LIMIT)).when(request("O-1", LIMIT))
    after.then(approved("O-1", LIMIT))
    assert after.state().exposure_minor == LIMIT
    assert not after.state().reservations
    assert not after.state().book.ahead


def test_an_order_that_is_wholly_invoiced_already_is_approved_though_the_account_is_held_by_now() -> None:
    account.given(invoiced("O-1", 10), HELD).when(request("O-1", 10)).then(approved("O-1", 10))


def test_an_order_that_is_invoiced_in_part_already_reserves_the_rest() -> None:
    after = account.given(invoiced("O-1", 40_000, final=False), invoiced("O-1", 10_000, final=False))
    after = after.when(request("O-1", LIMIT))
    after.then(approved("O-1", LIMIT))
    assert after.state().exposure_minor == LIMIT
    assert after.state().reservations["O-1"].amount_minor == LIMIT - 50_000
    assert after.when(invoice("O-1", 50_000)).state().exposure_minor == LIMIT


def test_an_order_that_waits_while_its_invoice_is_heard_reserves_nothing_when_it_is_approved() -> None:
    waiting = account.given(approved("O-0", LIMIT)).given(declined("O-1", 500, 0), invoiced("O-1", 500))
    after = waiting.given(CreditApproved("O-1", C, 500, "EUR", "Ada", True))
    assert "O-1" not in after.state().reservations
    assert after.state().exposure_minor == LIMIT + 500
