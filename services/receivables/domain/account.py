"""What a customer owes us, what we owe them, and how money finds its invoices. Stream: account-{customer_id}.

Money finds invoices in this order (rule 20): invoice numbers in the reference, then the named order; money that names
nothing pays a single item of exactly its amount, else the oldest due. What names something never pays anything else:
its rest waits for what it names. No command looks at more items than it pays.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import assert_never

from services.receivables.domain.account_facts import (
    POLICY,
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
    WrittenOff,
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

SMALL_DIFFERENCE = "small_difference"

_END = "\x1f"  # Ends each part of an index key: ids and texts from outside never contain control characters.
_DIGITS = frozenset("0123456789")


# ---- Keys of the two indexes; the part after the last _END is the id


def _by_due(currency: str) -> str:
    return f"D{currency}{_END}"


def _by_amount(currency: str, open_minor: int) -> str:
    return f"A{currency}{_END}{open_minor}{_END}"


def _by_order(order_id: str, currency: str) -> str:
    return f"O{order_id}{_END}{currency}{_END}"


def _by_number(number: str, currency: str) -> str:
    return f"N{number}{_END}{currency}{_END}"


def _free(currency: str) -> str:
    return f"F{currency}{_END}"


def _id_in(key: str) -> str:
    return key[key.rindex(_END) + 1 :]


def credit_key(currency: str, source_id: str) -> str:
    """The key of a source's credit in `Account.credits`: currencies do not mix."""
    return f"{currency}{_END}{source_id}"


def named_in(reference: str) -> tuple[str, ...]:
    """The words of a payer's text that may be document numbers (they have a digit), in capitals, each once."""
    if not reference:
        return ()
    words = reference.upper().replace(",", " ").replace(";", " ").split()
    return tuple(dict.fromkeys([word for word in words if not _DIGITS.isdisjoint(word)]))


# ---- Evolve


def evolve(state: Account, fact: AccountFact) -> Account:
    """The account after a fact."""
    match fact:
        case JournalPosted():
            return evolved(state, entries=state.entries + 1)
        case InvoicePaid():
            return state  # The fact before it has closed the item.
        case InvoiceBooked():
            return _with_booked(state, fact)
        case PaymentReceived():
            return _with_credit(state, _credit_of(fact))
        case CashApplied():
            paid = _with_less_due(state, fact.invoice_id, fact.amount_minor)
            return _with_less_credit(paid, credit_key(fact.currency, fact.source_id), fact.amount_minor)
        case CreditNoteBooked():
            return _with_credit_note(state, fact)
        case WrittenOff():
            return _with_less_due(state, fact.invoice_id, fact.amount_minor)
        case CashUnapplied():
            return _with_unapplied(state, fact)
        case _:
            assert_never(fact)


def _with_booked(state: Account, fact: InvoiceBooked) -> Account:
    if not fact.total_minor:
        return state
    item = OpenItem(
        fact.invoice_id,
        fact.number,
        fact.order_id,
        fact.currency,
        fact.total_minor,
        fact.total_minor,
        fact.issued_on,
        fact.due_on,
    )
    return _with_item(state, item)


def _with_item(state: Account, item: OpenItem) -> Account:
    index = state.item_index
    for key in _keys_of(item):
        index = index.added(key)
    return evolved(
        state,
        items=state.items.set(item.invoice_id, item),
        numbers=state.numbers.set(item.number.upper(), item.invoice_id),
        item_index=index,
    )


def _keys_of(item: OpenItem) -> tuple[str, str, str]:
    due = f"{item.due_on}{_END}{item.invoice_id}"
    return (
        _by_due(item.currency) + due,
        _by_amount(item.currency, item.open_minor) + item.invoice_id,
        _by_order(item.order_id, item.currency) + due,
    )


def _with_less_due(state: Account, invoice_id: str, amount_minor: int) -> Account:
    item = state.items[invoice_id]
    if item.open_minor > amount_minor:
        return _with_open(state, item, item.open_minor - amount_minor)
    index = state.item_index
    for key in _keys_of(item):
        index = index.removed(key)
    return evolved(
        state, items=state.items.delete(invoice_id), numbers=state.numbers.delete(item.number.upper()), item_index=index
    )


def _with_open(state: Account, item: OpenItem, open_minor: int) -> Account:
    index = state.item_index.removed(_by_amount(item.currency, item.open_minor) + item.invoice_id)
    return evolved(
        state,
        items=state.items.set(item.invoice_id, evolved(item, open_minor=open_minor)),
        item_index=index.added(_by_amount(item.currency, open_minor) + item.invoice_id),
    )


def _credit_of(fact: PaymentReceived) -> Credit:
    place = f"{fact.value_on}{_END}{fact.payment_id}"
    waits = [_by_number(number, fact.currency) + place for number in named_in(fact.reference)]
    if fact.order_id:
        waits.append(_by_order(fact.order_id, fact.currency) + place)
    if not waits:
        waits.append(_free(fact.currency) + place)
    return Credit(fact.payment_id, fact.currency, fact.amount_minor, fact.value_on, tuple(waits))


def _with_credit(state: Account, credit: Credit) -> Account:
    key = credit_key(credit.currency, credit.source_id)
    same_id = state.credits.get(key)
    if same_id is not None:
        # A bank may give a payment the id of one of our credit notes; neither money may get lost.
        state = _with_less_credit(state, key, same_id.rest_minor)
        since_on = max(credit.since_on, same_id.since_on)
        credit = evolved(credit, rest_minor=credit.rest_minor + same_id.rest_minor, since_on=since_on, waits_for=())
    index = state.credit_index
    for name in credit.waits_for:
        index = index.added(name)
    return evolved(state, credits=state.credits.set(key, credit), credit_index=index)


def _with_less_credit(state: Account, key: str, amount_minor: int) -> Account:
    credit = state.credits[key]
    if credit.rest_minor > amount_minor:
        less = evolved(credit, rest_minor=credit.rest_minor - amount_minor)
        return evolved(state, credits=state.credits.set(key, less))
    index = state.credit_index
    for name in credit.waits_for:
        index = index.removed(name)
    return evolved(state, credits=state.credits.delete(key), credit_index=index)


def _with_credit_note(state: Account, fact: CreditNoteBooked) -> Account:
    if fact.applied_minor:
        state = _with_less_due(state, fact.invoice_id, fact.applied_minor)
    if fact.credited_minor:
        state = _with_credit(state, Credit(fact.credit_note_id, fact.currency, fact.credited_minor, fact.issued_on))
    return state


def _with_unapplied(state: Account, fact: CashUnapplied) -> Account:
    item = state.items.get(fact.invoice_id)
    if item is not None:
        open_since = max(item.open_since, fact.unapplied_on)
        state = _with_open(state, evolved(item, open_since=open_since), fact.open_minor)
    else:
        ids = (fact.invoice_id, fact.invoice_number, fact.order_id, fact.currency)
        amounts = (fact.total_minor, fact.open_minor)
        state = _with_item(state, OpenItem(*ids, *amounts, fact.unapplied_on, fact.due_on))
    # Waits for nothing: a person took it back, so a person decides what it pays, the source's other rest included.
    return _with_credit(state, Credit(fact.source_id, fact.currency, fact.amount_minor, fact.unapplied_on))


# ---- Decide


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
    if c.invoice_id in state.items:
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
        _by_number(item.number.upper(), item.currency),
        _by_order(item.order_id, item.currency),
        _free(item.currency),
    )
    for prefix in prefixes:
        for name in state.credit_index.starting_with(prefix):
            source_id = _id_in(name)
            if source_id not in seen:
                seen.add(source_id)
                yield state.credits[credit_key(item.currency, source_id)]


def _receive_payment(state: Account, c: ReceivePayment) -> Sequence[AccountFact]:
    ids = (c.payment_id, c.customer_id)
    texts = (c.method, c.reference, c.order_id)
    received = PaymentReceived(*ids, c.amount_minor, c.currency, c.value_on, *texts)
    draft = _Draft(c.customer_id, c.currency, received)
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
        for key in state.item_index.starting_with(_by_order(c.order_id, c.currency)):
            if _id_in(key) not in seen:
                yield state.items[_id_in(key)]


def _unnamed(state: Account, currency: str, amount_minor: int) -> Iterator[OpenItem]:
    """A single item of exactly this amount, else all items, oldest due first."""
    exact = state.item_index.starting_with(_by_amount(currency, amount_minor))
    first, second = next(exact, None), next(exact, None)
    if first is not None and second is None:
        yield state.items[_id_in(first)]
        return
    for key in state.item_index.starting_with(_by_due(currency)):
        yield state.items[_id_in(key)]


def _book_credit_note(state: Account, c: BookCreditNote) -> Sequence[AccountFact]:
    assert c.net_minor + c.tax_minor == c.total_minor, "a credit note is its net and its tax"
    item = state.items.get(c.invoice_id)
    applied_minor = min(item.open_minor, c.total_minor) if item is not None else 0
    on = max(c.issued_on, item.open_since) if item is not None else c.issued_on
    ids = (c.credit_note_id, c.number, c.invoice_id, c.invoice_number, c.order_id, c.customer_id, c.currency)
    amounts = (c.net_minor, c.tax_minor, c.total_minor, applied_minor, c.total_minor - applied_minor)
    draft = _Draft(c.customer_id, c.currency, CreditNoteBooked(*ids, *amounts, c.issued_on, on))
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
    item = _open_item(state, c.invoice_id)
    credit = state.credits.get(credit_key(item.currency, c.source_id))
    if credit is None:
        raise NotFoundError(f"{c.source_id} has no unapplied money in {item.currency}")
    if not 0 < c.amount_minor <= min(credit.rest_minor, item.open_minor):
        raise DomainError(
            f"{credit.rest_minor} are unapplied and {item.open_minor} are due, in minor units", code="amount_not_there"
        )
    on = max(c.on, item.open_since, credit.since_on)
    draft = _Draft(c.customer_id, item.currency)
    draft.settle(draft.apply(item, c.source_id, c.amount_minor, on, c.by), on)
    return draft.facts_and_entries(state, c.source_id, item.order_id)


def _unapply_cash(state: Account, c: UnapplyCash) -> Sequence[AccountFact]:
    if not 0 < c.amount_minor <= c.applied_minor:
        raise DomainError(f"{c.applied_minor} are applied, in minor units", code="amount_not_there")
    item = state.items.get(c.invoice_id)
    open_minor = c.amount_minor + (item.open_minor if item is not None else 0)
    assert open_minor <= c.total_minor, "what was applied and what is open are at most the whole"
    ids = (c.source_id, c.invoice_id, c.invoice_number, c.order_id, c.customer_id)
    amounts = (c.amount_minor, c.currency, open_minor, c.total_minor)
    on = max(c.on, c.applied_on)
    draft = _Draft(c.customer_id, c.currency, CashUnapplied(*ids, *amounts, c.due_on, on, c.by))
    draft.post(on, (RECEIVABLES, c.amount_minor), (CUSTOMER_CREDIT, -c.amount_minor))
    return draft.facts_and_entries(state, c.source_id, c.order_id)


def _write_off(state: Account, c: WriteOff) -> Sequence[AccountFact]:
    item = _open_item(state, c.invoice_id)
    on = max(c.on, item.open_since)
    draft = _Draft(c.customer_id, item.currency)
    draft.settle(draft.write_off(item, c.reason, on, c.by), on)
    return draft.facts_and_entries(state, item.number, item.order_id)


def _open_item(state: Account, invoice_id: str) -> OpenItem:
    item = state.items.get(invoice_id)
    if item is None:
        raise NotFoundError(f"nothing is due on invoice {invoice_id}")
    return item


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
        JournalPosted,
    ),
    snapshots=True,
)
