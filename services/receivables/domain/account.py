"""What a customer owes us, what we owe them, and how money finds its invoices. Stream: account-{customer_id}.

Money finds invoices in this order (rule 20): invoice numbers in the reference, then the named order; money that names
nothing pays a single item of exactly its amount, else the oldest due. What names something never pays anything else:
its rest waits for what it names. No command looks at more items than it pays.

What was written off is not due, but it is remembered: the write-off is reversed, and so due again, in the instant in
which money that names the invoice pays it or a credit note takes it back (rules 17, 26).
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import assert_never

from services.receivables.domain.account_facts import (
    CASH_APPLIED,
    CASH_UNAPPLIED,
    CREDIT_NOTE,
    POLICY,
    SMALL_DIFFERENCE,
    Account,
    AccountCommand,
    AccountFact,
    ApplyCash,
    BookCreditNote,
    BookInvoice,
    CashApplied,
    CashUnapplied,
    Credit,
    CreditNoteBooked,
    InvoiceBooked,
    InvoicePaid,
    JournalPosted,
    OpenItem,
    PaymentReceived,
    ReceivePayment,
    UnapplyCash,
    WriteOff,
    WriteOffReversed,
    WrittenOff,
)
from services.receivables.domain.account_state import (
    by_amount,
    by_due,
    by_number,
    by_order,
    credit_key,
    evolve,
    free,
    id_in,
    named_in,
)
from services.receivables.domain.accounts import (
    BANK,
    CUSTOMER_CREDIT,
    RECEIVABLES,
    REVENUE,
    TAX_PAYABLE,
    WRITE_OFFS,
)
from services.receivables.domain.journal import journal_lines
from shared.errors import DomainError, NotFoundError
from shared.eventsourced.decider import Decider
from shared.values import evolved


def decide(state: Account, command: AccountCommand) -> Sequence[AccountFact]:
    """What a command leads to: business facts, then one balanced journal entry per day it takes effect on.

    That is one entry, unless money is dated before an invoice that it pays (rule 22: a liability until then).
    """
    match command:
        case BookInvoice():
            return _book_invoice(state, command)
        case ReceivePayment():
            return _receive_payment(state, command)
        case BookCreditNote():
            return _book_credit_note(state, command)
        case ApplyCash():
            return _apply_cash(state, command)
        case UnapplyCash():
            return _unapply_cash(state, command)
        case WriteOff():
            return _write_off(state, command)
        case _:
            assert_never(command)


class _Draft:
    """The facts and postings of one command as they grow; it ends with `facts_and_entries`."""

    def __init__(self, customer_id: str, currency: str, first: AccountFact | None = None) -> None:
        self.customer_id = customer_id
        self.currency = currency
        self.facts: list[AccountFact] = [] if first is None else [first]
        self.postings: dict[date, list[tuple[str, int]]] = {}

    def post(self, on: date, *postings: tuple[str, int]) -> None:
        """Note (account, amount) pairs, debits positive, as effective on a day."""
        self.postings.setdefault(on, []).extend(postings)

    def apply(self, item: OpenItem, source_id: str, amount_minor: int, on: date, by: str = POLICY) -> OpenItem:
        """Pay part or all of an item with a source's money; the item as it is then."""
        assert 0 < amount_minor <= item.open_minor, "an application is at most what is open"
        open_minor = item.open_minor - amount_minor
        ids = (source_id, item.invoice_id, item.number, item.order_id, self.customer_id)
        self.facts.append(CashApplied(*ids, amount_minor, self.currency, open_minor, on, by))
        self.post(on, (CUSTOMER_CREDIT, amount_minor), (RECEIVABLES, -amount_minor))
        return evolved(item, open_minor=open_minor)

    def write_off(self, item: OpenItem, reason: str, on: date, by: str = POLICY) -> OpenItem:
        """Give up what is open on an item; the item as it is then."""
        ids = (item.invoice_id, item.number, item.order_id, self.customer_id)
        self.facts.append(WrittenOff(*ids, item.open_minor, self.currency, reason, on, by))
        self.post(on, (WRITE_OFFS, item.open_minor), (RECEIVABLES, -item.open_minor))
        return evolved(item, open_minor=0)

    def reverse(
        self, state: Account, invoice_id: str, amount_minor: int, on: date, why: tuple[str, str], by: str = POLICY
    ) -> Account:
        """Make what was written off due again, on no day before it was; the account as it is then.

        `why`: the reason, and the payment or credit note behind it.
        """
        loss = state.written_off[invoice_id]
        assert 0 < amount_minor <= loss.amount_minor, "a reversal is at most what was written off"
        assert loss.currency == self.currency, "a write-off is reversed in its own currency"
        on = max(on, loss.since_on)
        open_minor = amount_minor + _open_minor(state, invoice_id)
        ids = (invoice_id, loss.number, loss.order_id, self.customer_id)
        again = WriteOffReversed(*ids, amount_minor, self.currency, open_minor, *why, on, by)
        self.facts.append(again)
        self.post(on, (RECEIVABLES, amount_minor), (WRITE_OFFS, -amount_minor))
        return evolve(state, again)

    def settle(self, item: OpenItem, on: date, write_off_max_minor: int = 0) -> None:
        """After money came: write off a small rest, and say so if nothing is due any more."""
        if 0 < item.open_minor <= write_off_max_minor:
            item = self.write_off(item, SMALL_DIFFERENCE, on)
        if not item.open_minor:
            ids = (item.invoice_id, item.number, item.order_id, self.customer_id)
            self.facts.append(InvoicePaid(*ids, item.total_minor, self.currency, on))

    def facts_and_entries(self, state: Account, document: str, order_id: str) -> Sequence[AccountFact]:
        """All facts; the journal entries come last, in order of their days. Nothing to post: no entry."""
        number = state.entries
        for on, postings in sorted(self.postings.items()):
            lines = journal_lines(postings)
            if lines:
                number += 1
                entry_id = f"J-{self.customer_id}-{number}"
                entry = (entry_id, self.customer_id, on, self.currency, document, lines, order_id)
                self.facts.append(JournalPosted(*entry))
        return self.facts


def _book_invoice(state: Account, c: BookInvoice) -> Sequence[AccountFact]:
    assert c.net_minor + c.tax_minor == c.total_minor, "an invoice is its net and its tax"
    if c.invoice_id in state.items or c.invoice_id in state.written_off:
        return ()
    amounts = (c.net_minor, c.tax_minor, c.total_minor)
    ids = (c.invoice_id, c.number, c.order_id, c.customer_id, c.currency)
    draft = _Draft(c.customer_id, c.currency, InvoiceBooked(*ids, *amounts, c.issued_on, c.due_on))
    draft.post(c.issued_on, (RECEIVABLES, c.total_minor), (REVENUE, -c.net_minor), (TAX_PAYABLE, -c.tax_minor))
    days = (c.issued_on, c.due_on)
    item = OpenItem(c.invoice_id, c.number, c.order_id, c.currency, c.total_minor, c.total_minor, *days)
    item, closed_on = _paid_from_credit(state, draft, item)
    # Without a payment there is no short payment: a small invoice is not written off by itself.
    tolerance_minor = c.write_off_max_minor if item.open_minor < c.total_minor else 0
    draft.settle(item, closed_on, tolerance_minor)
    return draft.facts_and_entries(state, c.number, c.order_id)


def _paid_from_credit(state: Account, draft: _Draft, item: OpenItem) -> tuple[OpenItem, date]:
    """Apply the credit that waited for this invoice; the item then, and the latest day of an application."""
    latest_on = item.open_since
    for credit in _waiting_for(state, item):
        if not item.open_minor:
            break
        on = max(item.open_since, credit.since_on)
        item = draft.apply(item, credit.source_id, min(credit.rest_minor, item.open_minor), on)
        latest_on = max(latest_on, on)
    return item, latest_on


def _waiting_for(state: Account, item: OpenItem) -> Iterator[Credit]:
    """Credit that names the invoice, then its order, then credit that names nothing; each oldest first."""
    if not state.credits:
        return
    seen: set[str] = set()
    prefixes = (
        by_number(item.number.upper(), item.currency),
        by_order(item.order_id, item.currency),
        free(item.currency),
    )
    for prefix in prefixes:
        for name in state.credit_index.starting_with(prefix):
            source_id = id_in(name)
            if source_id not in seen:
                seen.add(source_id)
                yield state.credits[credit_key(item.currency, source_id)]


def _receive_payment(state: Account, c: ReceivePayment) -> Sequence[AccountFact]:
    ids = (c.payment_id, c.customer_id)
    texts = (c.method, c.reference, c.order_id)
    received = PaymentReceived(*ids, c.amount_minor, c.currency, c.value_on, *texts)
    draft = _Draft(c.customer_id, c.currency)
    # First the debt comes back, then money lowers it: who hears both never believes that less is owed than there is.
    state = _with_named_losses_due(state, draft, c)
    draft.facts.append(received)
    draft.post(c.value_on, (BANK, c.amount_minor), (CUSTOMER_CREDIT, -c.amount_minor))
    rest_minor = c.amount_minor
    for item in _paid_by(state, c):
        amount_minor = min(rest_minor, item.open_minor)
        rest_minor -= amount_minor
        on = max(c.value_on, item.open_since)
        draft.settle(draft.apply(item, c.payment_id, amount_minor, on), on, c.write_off_max_minor)
        if not rest_minor:
            break
    return draft.facts_and_entries(state, c.payment_id, c.order_id)


def _with_named_losses_due(state: Account, draft: _Draft, c: ReceivePayment) -> Account:
    """The account in which what a payment recovers is due: what was written off on the invoices whose numbers it
    names, in their order, as far as its money goes beyond what is open on all of them.
    """
    if not state.written_off:
        return state
    named = [state.numbers[number] for number in named_in(c.reference) if number in state.numbers]
    items = [state.items[invoice_id] for invoice_id in named if invoice_id in state.items]
    rest_minor = c.amount_minor - sum([item.open_minor for item in items if item.currency == c.currency])
    for invoice_id in named:
        loss = state.written_off.get(invoice_id)
        if loss is not None and loss.currency == c.currency and rest_minor > 0:
            amount_minor = min(rest_minor, loss.amount_minor)
            rest_minor -= amount_minor
            state = draft.reverse(state, invoice_id, amount_minor, c.value_on, (CASH_APPLIED, c.payment_id))
    return state


def _paid_by(state: Account, c: ReceivePayment) -> Iterator[OpenItem]:
    """The open items that a payment may pay, in order, each once, found as they are asked for."""
    if not state.items:
        return
    numbers = named_in(c.reference)
    if not (numbers or c.order_id):
        yield from _unnamed(state, c.currency, c.amount_minor)
        return
    seen: set[str] = set()
    for number in numbers:
        item = state.items.get(state.numbers.get(number, ""))
        if item is not None and item.currency == c.currency:
            seen.add(item.invoice_id)
            yield item
    if c.order_id:
        for key in state.item_index.starting_with(by_order(c.order_id, c.currency)):
            if id_in(key) not in seen:
                yield state.items[id_in(key)]


def _unnamed(state: Account, currency: str, amount_minor: int) -> Iterator[OpenItem]:
    """A single item of exactly this amount, else all items, oldest due first."""
    exact = state.item_index.starting_with(by_amount(currency, amount_minor))
    first, second = next(exact, None), next(exact, None)
    if first is not None and second is None:
        yield state.items[id_in(first)]
        return
    for key in state.item_index.starting_with(by_due(currency)):
        yield state.items[id_in(key)]


def _book_credit_note(state: Account, c: BookCreditNote) -> Sequence[AccountFact]:
    assert c.net_minor + c.tax_minor == c.total_minor, "a credit note is its net and its tax"
    draft = _Draft(c.customer_id, c.currency)
    again_minor = min(c.total_minor - _open_minor(state, c.invoice_id), _loss_minor(state, c.invoice_id))
    if again_minor > 0:
        state = draft.reverse(state, c.invoice_id, again_minor, c.issued_on, (CREDIT_NOTE, c.credit_note_id))
    item = state.items.get(c.invoice_id)
    applied_minor = min(item.open_minor, c.total_minor) if item is not None else 0
    on = max(c.issued_on, item.open_since) if item is not None else c.issued_on
    ids = (c.credit_note_id, c.number, c.invoice_id, c.invoice_number, c.order_id, c.customer_id, c.currency)
    amounts = (c.net_minor, c.tax_minor, c.total_minor, applied_minor, c.total_minor - applied_minor)
    draft.facts.append(CreditNoteBooked(*ids, *amounts, c.issued_on, on))
    _post_credit_note(draft, c, applied_minor, on)
    if item is not None:
        assert item.currency == c.currency, "a credit note has its invoice's currency"
        draft.settle(evolved(item, open_minor=item.open_minor - applied_minor), on)
    return draft.facts_and_entries(state, c.number, c.order_id)


def _post_credit_note(draft: _Draft, c: BookCreditNote, applied_minor: int, applied_on: date) -> None:
    """Revenue and tax back; what lowers the receivable on a later day is the customer's credit until then."""
    now_minor = applied_minor if applied_on == c.issued_on else 0
    draft.post(c.issued_on, (REVENUE, c.net_minor), (TAX_PAYABLE, c.tax_minor))
    draft.post(c.issued_on, (RECEIVABLES, -now_minor), (CUSTOMER_CREDIT, now_minor - c.total_minor))
    later_minor = applied_minor - now_minor
    draft.post(applied_on, (CUSTOMER_CREDIT, later_minor), (RECEIVABLES, -later_minor))


def _apply_cash(state: Account, c: ApplyCash) -> Sequence[AccountFact]:
    item, loss = state.items.get(c.invoice_id), state.written_off.get(c.invoice_id)
    known = item or loss
    if known is None:
        raise NotFoundError(f"nothing is due on invoice {c.invoice_id}")
    credit = state.credits.get(credit_key(known.currency, c.source_id))
    if credit is None:
        raise NotFoundError(f"{c.source_id} has no unapplied money in {known.currency}")
    open_minor, loss_minor = _open_minor(state, c.invoice_id), _loss_minor(state, c.invoice_id)
    if not 0 < c.amount_minor <= min(credit.rest_minor, open_minor + loss_minor):
        sides = f"{open_minor} are due and {loss_minor} written off"
        raise DomainError(f"{credit.rest_minor} are unapplied, {sides}, in minor units", code="amount_not_there")
    on = max(c.on, credit.since_on)
    draft = _Draft(c.customer_id, known.currency)
    if c.amount_minor > open_minor:
        again_minor = c.amount_minor - open_minor
        state = draft.reverse(state, c.invoice_id, again_minor, on, (CASH_APPLIED, c.source_id), c.by)
    item = state.items[c.invoice_id]
    on = max(on, item.open_since)
    draft.settle(draft.apply(item, c.source_id, c.amount_minor, on, c.by), on)
    return draft.facts_and_entries(state, c.source_id, item.order_id)


def _unapply_cash(state: Account, c: UnapplyCash) -> Sequence[AccountFact]:
    if not 0 < c.amount_minor <= c.applied_minor:
        raise DomainError(f"{c.applied_minor} are applied, in minor units", code="amount_not_there")
    on = max(c.on, c.applied_on)
    draft = _Draft(c.customer_id, c.currency)
    loss = state.written_off.get(c.invoice_id)
    if loss is not None and loss.small_minor:
        # The rest was too little to collect while the invoice was all but paid, which it is no more.
        state = draft.reverse(state, c.invoice_id, loss.small_minor, on, (CASH_UNAPPLIED, c.source_id), c.by)
    open_minor = c.amount_minor + _open_minor(state, c.invoice_id)
    assert open_minor <= c.total_minor, "what was applied and what is open are at most the whole"
    ids = (c.source_id, c.invoice_id, c.invoice_number, c.order_id, c.customer_id)
    amounts = (c.amount_minor, c.currency, open_minor, c.total_minor)
    draft.facts.append(CashUnapplied(*ids, *amounts, c.due_on, on, c.by))
    draft.post(on, (RECEIVABLES, c.amount_minor), (CUSTOMER_CREDIT, -c.amount_minor))
    return draft.facts_and_entries(state, c.source_id, c.order_id)


def _write_off(state: Account, c: WriteOff) -> Sequence[AccountFact]:
    item = state.items.get(c.invoice_id)
    if item is None:
        raise NotFoundError(f"nothing is due on invoice {c.invoice_id}")
    on = max(c.on, item.open_since)
    draft = _Draft(c.customer_id, item.currency)
    draft.settle(draft.write_off(item, c.reason, on, c.by), on)
    return draft.facts_and_entries(state, item.number, item.order_id)


def _open_minor(state: Account, invoice_id: str) -> int:
    item = state.items.get(invoice_id)
    return item.open_minor if item is not None else 0


def _loss_minor(state: Account, invoice_id: str) -> int:
    loss = state.written_off.get(invoice_id)
    return loss.amount_minor if loss is not None else 0


account: Decider[Account, AccountCommand, AccountFact] = Decider(
    name="account",
    initial=Account(),
    decide=decide,
    evolve=evolve,
    facts=(
        InvoiceBooked,
        CreditNoteBooked,
        PaymentReceived,
        CashApplied,
        CashUnapplied,
        InvoicePaid,
        WrittenOff,
        WriteOffReversed,
        JournalPosted,
    ),
    snapshots=True,
    state_version=2,
)
