"""How much a customer may owe us, and which orders may therefore go on. Stream: `credit-account-{customer_id}`.

exposure = Σ orders approved and not yet invoiced + Σ invoiced − Σ credit notes − Σ payments received − Σ written off
(less what of it was reversed), all in the account's currency. Amounts of other currencies are kept in books of their
own and never mixed in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.credit.domain.credit_commands import (
    ApproveCredit,
    CreditCommand,
    DeclineCredit,
    HoldAccount,
    NoteCreditNote,
    NoteInvoice,
    NotePayment,
    NoteWriteOff,
    OpenCreditAccount,
    ReleaseAccount,
    ReleaseCredit,
    RequestCredit,
    SetCreditLimit,
)
from services.credit.domain.credit_facts import (
    POLICY,
    AccountHeld,
    AccountReleased,
    CreditAccountOpened,
    CreditApproved,
    CreditDeclined,
    CreditFact,
    CreditLimitSet,
    CreditNoteNoted,
    CreditReferred,
    CreditReleased,
    CreditRequestWithdrawn,
    InvoiceNoted,
    PaymentNoted,
    WriteOffNoted,
)
from services.credit.domain.queue import Queue
from shared.errors import DomainError, NotFoundError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import State
from shared.money import AMOUNT_MINOR_MAX, BASIS_POINTS
from shared.values import Map, Value, evolved

APPROVALS_MAX = 20
"""Waiting orders approved by one command at most, so that a large payment cannot make a transaction long; the
account's next command goes on with the rest."""


# ---- State


class Reservation(Value, frozen=True, gc=False):
    """An approved order that is not wholly invoiced: what it still reserves."""

    amount_minor: int
    currency: str


class Ahead(Value, frozen=True, gc=False):
    """What was invoiced of an order that is not approved yet. `final`: nothing more of it will be invoiced."""

    amount_minor: int
    final: bool


class Request(Value, frozen=True, gc=False):
    """An order that waits. `number`: its place in its queue; 0: a person declined it, and only a person may approve."""

    amount_minor: int
    currency: str
    prepaid: bool
    number: int


class Book(Value, frozen=True, gc=False):
    """The sums of one currency in minor units, over the life of the account, and who waits in it.

    `ahead`: invoices that were heard before their order, by order id; so it is after a store was restored, when all
    is heard again and topics overtake each other.
    """

    reserved_minor: int = 0
    invoiced_minor: int = 0
    credited_minor: int = 0
    received_minor: int = 0
    written_off_minor: int = 0
    queue: Queue = Queue()
    ahead: Map[str, Ahead] = Map()

    @property
    def exposure_minor(self) -> int:
        """What the customer owes us or will owe us; below 0 when we owe them."""
        owed = self.reserved_minor + self.invoiced_minor
        return owed - self.credited_minor - self.received_minor - self.written_off_minor


_EMPTY = Book()


class CreditAccount(State, frozen=True, gc=False):
    """`currency` is empty until the account is opened. `reservations` and `requests`: what is open, by order id.

    Requests wait in the queue of their currency's book; `prepaid` ones need no limit and only wait for a release.
    """

    customer_id: str = ""
    currency: str = ""
    limit_minor: int = 0
    held: bool = False
    hold_reason: str = ""
    reservations: Map[str, Reservation] = Map()
    requests: Map[str, Request] = Map()
    books: Map[str, Book] = Map()
    prepaid: Queue = Queue()

    @property
    def opened(self) -> bool:
        return self.currency != ""

    @property
    def book(self) -> Book:
        """The book of the account's own currency."""
        return self.books.get(self.currency, _EMPTY)

    @property
    def exposure_minor(self) -> int:
        return self.book.exposure_minor

    @property
    def available_minor(self) -> int:
        """What may still be approved; below 0 when exposure exceeds the limit."""
        return self.limit_minor - self.book.exposure_minor


def evolve(state: CreditAccount, fact: CreditFact) -> CreditAccount:
    """The account after this fact."""
    return _EVOLVE[type(fact)](state, fact)


def _book(state: CreditAccount, currency: str) -> Book:
    return state.books.get(currency, _EMPTY)


def _with_book(state: CreditAccount, currency: str, book: Book) -> CreditAccount:
    return evolved(state, books=state.books.set(currency, book))


def _approved(state: CreditAccount, fact: CreditApproved) -> CreditAccount:
    state = _left(state, fact.order_id) if fact.waited else state
    book = _book(state, fact.currency)
    ahead = book.ahead.get(fact.order_id)
    if ahead is not None:
        book = evolved(book, ahead=book.ahead.delete(fact.order_id))
        if ahead.final:
            return _with_book(state, fact.currency, book)
    amount = _to_reserve(fact.amount_minor, ahead)
    return evolved(
        state,
        reservations=state.reservations.set(fact.order_id, Reservation(amount, fact.currency)),
        books=state.books.set(fact.currency, evolved(book, reserved_minor=book.reserved_minor + amount)),
    )


def _to_reserve(amount_minor: int, ahead: Ahead | None) -> int:
    """What of an order is not invoiced yet."""
    return amount_minor if ahead is None else max(amount_minor - ahead.amount_minor, 0)


def _invoiced(state: CreditAccount, fact: InvoiceNoted) -> CreditAccount:
    """The same amount leaves the reservation and joins what is invoiced, so exposure is the same before and after.

    Invoices are in their order's currency; one that is not leaves the reservation alone.
    """
    reservations, book = state.reservations, _book(state, fact.currency)
    ahead, moved = book.ahead, 0
    reservation = reservations.get(fact.order_id)
    if reservation is None or reservation.currency != fact.currency:
        before = ahead.get(fact.order_id, Ahead(0, False))
        ahead = ahead.set(fact.order_id, Ahead(before.amount_minor + fact.amount_minor, before.final or fact.final))
    else:
        moved = reservation.amount_minor if fact.final else min(reservation.amount_minor, fact.amount_minor)
        rest = evolved(reservation, amount_minor=reservation.amount_minor - moved)
        reservations = reservations.delete(fact.order_id) if fact.final else reservations.set(fact.order_id, rest)
    book = evolved(
        book,
        ahead=ahead,
        reserved_minor=book.reserved_minor - moved,
        invoiced_minor=book.invoiced_minor + fact.amount_minor,
    )
    return evolved(state, reservations=reservations, books=state.books.set(fact.currency, book))


def _released(state: CreditAccount, fact: CreditReleased) -> CreditAccount:
    book = _book(state, fact.currency)
    return evolved(
        state,
        reservations=state.reservations.delete(fact.order_id),
        books=state.books.set(fact.currency, evolved(book, reserved_minor=book.reserved_minor - fact.amount_minor)),
    )


def _declined(state: CreditAccount, fact: CreditDeclined) -> CreditAccount:
    request = Request(fact.amount_minor, fact.currency, fact.prepaid, 0)
    if fact.declined_by == POLICY:
        return _joined(state, fact.order_id, request)
    state = _left(state, fact.order_id)
    return evolved(state, requests=state.requests.set(fact.order_id, request))


def _joined(state: CreditAccount, order_id: str, request: Request) -> CreditAccount:
    book = _book(state, request.currency)
    queue = (state.prepaid if request.prepaid else book.queue).joined(order_id, request.amount_minor)
    state = evolved(state, requests=state.requests.set(order_id, evolved(request, number=queue.last)))
    return _with_queue(state, request, queue)


def _left(state: CreditAccount, order_id: str) -> CreditAccount:
    request = state.requests[order_id]
    state = evolved(state, requests=state.requests.delete(order_id))
    if not request.number:
        return state
    queue = state.prepaid if request.prepaid else _book(state, request.currency).queue
    return _with_queue(state, request, queue.left(request.number))


def _with_queue(state: CreditAccount, request: Request, queue: Queue) -> CreditAccount:
    if request.prepaid:
        return evolved(state, prepaid=queue)
    return _with_book(state, request.currency, evolved(_book(state, request.currency), queue=queue))


def _referred(state: CreditAccount, fact: CreditReferred) -> CreditAccount:
    return _joined(state, fact.order_id, Request(fact.amount_minor, fact.currency, False, 0))


def _paid(state: CreditAccount, fact: PaymentNoted) -> CreditAccount:
    book = _book(state, fact.currency)
    return _with_book(state, fact.currency, evolved(book, received_minor=book.received_minor + fact.amount_minor))


def _credited(state: CreditAccount, fact: CreditNoteNoted) -> CreditAccount:
    book = _book(state, fact.currency)
    return _with_book(state, fact.currency, evolved(book, credited_minor=book.credited_minor + fact.amount_minor))


def _written_off(state: CreditAccount, fact: WriteOffNoted) -> CreditAccount:
    book = _book(state, fact.currency)
    return _with_book(state, fact.currency, evolved(book, written_off_minor=book.written_off_minor + fact.amount_minor))


def _opened(state: CreditAccount, fact: CreditAccountOpened) -> CreditAccount:
    return evolved(state, customer_id=fact.customer_id, limit_minor=fact.limit_minor, currency=fact.currency)


# A table and not a match: looking a class up costs a tenth of asking for each of thirteen whether it is the one.
_EVOLVE: Mapping[type[Any], Callable[[CreditAccount, Any], CreditAccount]] = {
    CreditAccountOpened: _opened,
    CreditLimitSet: lambda state, fact: evolved(state, limit_minor=fact.limit_minor),
    CreditApproved: _approved,
    CreditDeclined: _declined,
    CreditReferred: _referred,
    CreditReleased: _released,
    CreditRequestWithdrawn: lambda state, fact: _left(state, fact.order_id),
    InvoiceNoted: _invoiced,
    CreditNoteNoted: _credited,
    PaymentNoted: _paid,
    WriteOffNoted: _written_off,
    AccountHeld: lambda state, fact: evolved(state, held=True, hold_reason=fact.reason),
    AccountReleased: lambda state, _: evolved(state, held=False, hold_reason=""),
}

# ---- Decisions


def decide(state: CreditAccount, command: CreditCommand) -> Sequence[CreditFact]:
    """What a command leads to; waiting orders that fit by then are approved, oldest first, `APPROVALS_MAX` at most.

    Raises NotFoundError and DomainError to people who ask for what the rules forbid, never for an ordinary race.
    """
    asked = _DECIDE[type(command)]
    if not state.requests:
        return asked(state, command)
    if type(command) is RequestCredit:
        # Those who have waited come first: what a bounded command left over must not be overtaken.
        approvals = _approvals(state)
        return [*approvals, *asked(credit_account.fold(approvals, state), command)]
    facts = asked(state, command)
    return [*facts, *_approvals(credit_account.fold(facts, state))] if facts else facts


def _request(state: CreditAccount, command: RequestCredit) -> Sequence[CreditFact]:
    order_id, customer_id = command.order_id, command.customer_id
    amount, currency = command.amount_minor, command.currency
    if order_id in state.reservations or order_id in state.requests:
        return []
    ahead = _book(state, currency).ahead.get(order_id)
    if ahead is not None and ahead.final:
        return [CreditApproved(order_id, customer_id, amount, currency)]  # it was approved, and it reserves nothing
    reason = _hindrance(state, command)
    if reason:
        available = state.available_minor if currency == state.currency else 0
        return [CreditDeclined(order_id, customer_id, amount, currency, reason, available, command.prepaid)]
    if command.prepaid:
        return [CreditApproved(order_id, customer_id, amount, currency)]
    excess = _to_reserve(amount, ahead) - state.available_minor
    if excess <= 0:
        return [CreditApproved(order_id, customer_id, amount, currency)]
    if excess * BASIS_POINTS <= state.limit_minor * command.referral_tolerance_bp:
        return [CreditReferred(order_id, customer_id, amount, currency, "limit_exceeded", excess)]
    return [CreditDeclined(order_id, customer_id, amount, currency, "limit_exceeded", state.available_minor)]


def _hindrance(state: CreditAccount, command: RequestCredit) -> str:
    """Why the limit need not even be looked at; empty if nothing hinders. A prepaid order needs no limit at all."""
    if state.held:
        return "account_held"
    if command.prepaid:
        return ""
    if not state.opened:
        return "no_account"
    return "" if command.currency == state.currency else "currency_mismatch"


def _approvals(state: CreditAccount) -> list[CreditApproved]:
    """Approvals of waiting orders that fit, oldest first. A small order may pass a large one that does not fit yet,
    just as a newly placed small order does.
    """
    if not state.opened or state.held:
        return []
    queue, available, facts = state.prepaid, AMOUNT_MINOR_MAX, list[CreditApproved]()
    while len(facts) < APPROVALS_MAX and (fits := queue.oldest_within(available)) is not None:
        facts.append(_granted(state, fits.order_id))
        queue = queue.left(fits.number)
    prepaid = sum(fact.amount_minor for fact in facts if fact.currency == state.currency)
    queue, available = state.book.queue, state.available_minor - prepaid
    while len(facts) < APPROVALS_MAX and (fits := queue.oldest_within(available)) is not None:
        facts.append(_granted(state, fits.order_id))
        queue, available = queue.left(fits.number), available - fits.amount_minor
    return facts


def _granted(state: CreditAccount, order_id: str, by: str = POLICY, note: str = "") -> CreditApproved:
    """The approval of a waiting order."""
    request = state.requests[order_id]
    amount, currency = request.amount_minor, request.currency
    return CreditApproved(order_id, state.customer_id, amount, currency, by, True, note)


def _release(state: CreditAccount, command: ReleaseCredit) -> Sequence[CreditFact]:
    reservation = state.reservations.get(command.order_id)
    if reservation is not None:
        amount, currency = reservation.amount_minor, reservation.currency
        return [CreditReleased(command.order_id, command.customer_id, amount, currency)]
    return [CreditRequestWithdrawn(command.order_id)] if command.order_id in state.requests else []


def _approve(state: CreditAccount, command: ApproveCredit) -> Sequence[CreditFact]:
    if command.order_id in state.reservations:
        return []
    request = _waiting(state, command.order_id)
    if state.held:
        raise DomainError("the account is held; release it first", code="account_held")
    if not state.opened:
        raise DomainError("the customer has no credit account", code="no_account")
    if not request.prepaid and request.currency != state.currency:
        raise DomainError(f"the account is kept in {state.currency}", code="currency_mismatch")
    return [_granted(state, command.order_id, command.by, command.note)]


def _decline(state: CreditAccount, command: DeclineCredit) -> Sequence[CreditFact]:
    if command.order_id in state.reservations:
        raise DomainError("the order is approved already", code="already_approved")
    request = _waiting(state, command.order_id)
    if not request.number:
        return []
    available = state.available_minor if request.currency == state.currency else 0
    return [
        CreditDeclined(
            command.order_id,
            command.customer_id,
            request.amount_minor,
            request.currency,
            "declined_by_person",
            available,
            request.prepaid,
            command.by,
            command.note,
        )
    ]


def _waiting(state: CreditAccount, order_id: str) -> Request:
    request = state.requests.get(order_id)
    if request is None:
        raise NotFoundError(f"order {order_id} does not wait for credit", code="not_waiting")
    return request


def _open(state: CreditAccount, command: OpenCreditAccount) -> Sequence[CreditFact]:
    if state.opened:
        return []
    return [CreditAccountOpened(command.customer_id, command.limit_minor, command.currency)]


def _set_limit(state: CreditAccount, command: SetCreditLimit) -> Sequence[CreditFact]:
    _check_opened(state, command.customer_id)
    unchanged = command.limit_minor == state.limit_minor
    return [] if unchanged else [CreditLimitSet(command.customer_id, command.limit_minor, state.currency)]


def _hold(state: CreditAccount, command: HoldAccount) -> Sequence[CreditFact]:
    _check_opened(state, command.customer_id)
    return [] if state.held else [AccountHeld(command.customer_id, command.reason)]


def _release_account(state: CreditAccount, command: ReleaseAccount) -> Sequence[CreditFact]:
    _check_opened(state, command.customer_id)
    return [AccountReleased(command.customer_id)] if state.held else []


def _check_opened(state: CreditAccount, customer_id: str) -> None:
    if not state.opened:
        raise NotFoundError(f"customer {customer_id} has no credit account")


_DECIDE: Mapping[type[Any], Callable[[CreditAccount, Any], Sequence[CreditFact]]] = {
    RequestCredit: _request,
    ReleaseCredit: _release,
    NoteInvoice: lambda _, c: [InvoiceNoted(c.order_id, c.amount_minor, c.currency, c.final)],
    NotePayment: lambda _, c: [PaymentNoted(c.amount_minor, c.currency)],
    NoteCreditNote: lambda _, c: [CreditNoteNoted(c.amount_minor, c.currency)],
    NoteWriteOff: lambda _, c: [WriteOffNoted(c.amount_minor, c.currency)],
    ApproveCredit: _approve,
    DeclineCredit: _decline,
    OpenCreditAccount: _open,
    SetCreditLimit: _set_limit,
    HoldAccount: _hold,
    ReleaseAccount: _release_account,
}

credit_account: Decider[CreditAccount, CreditCommand, CreditFact] = Decider(
    name="credit-account",
    initial=CreditAccount(),
    decide=decide,
    evolve=evolve,
    facts=tuple(_EVOLVE),
    snapshots=True,
    state_version=2,
)
