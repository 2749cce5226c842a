"""What an account is after each fact, and the keys under which its open items and credits are found."""

from typing import assert_never

from services.receivables.domain.account_facts import (
    SMALL_DIFFERENCE,
    Account,
    AccountFact,
    CashApplied,
    CashUnapplied,
    Credit,
    CreditNoteBooked,
    InvoiceBooked,
    InvoicePaid,
    JournalPosted,
    Loss,
    OpenItem,
    PaymentReceived,
    WriteOffReversed,
    WrittenOff,
)
from shared.values import evolved

_END = "\x1f"  # Ends each part of an index key: ids and texts from outside never contain control characters.
_DIGITS = frozenset("0123456789")


# ---- Keys of the two indexes; the part after the last _END is the id


def by_due(currency: str) -> str:
    """Open items of a currency, oldest due first."""
    return f"D{currency}{_END}"


def by_amount(currency: str, open_minor: int) -> str:
    """Open items of a currency on which just this is due."""
    return f"A{currency}{_END}{open_minor}{_END}"


def by_order(order_id: str, currency: str) -> str:
    """Open items of an order, oldest due first; also the credit that waits for it."""
    return f"O{order_id}{_END}{currency}{_END}"


def by_number(number: str, currency: str) -> str:
    """Credit that waits for an invoice number."""
    return f"N{number}{_END}{currency}{_END}"


def free(currency: str) -> str:
    """Credit that waits for nothing in particular, oldest first."""
    return f"F{currency}{_END}"


def id_in(key: str) -> str:
    """The id that a key of an index ends with."""
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
            return _with_less_due(_with_loss(state, fact), fact.invoice_id, fact.amount_minor)
        case WriteOffReversed():
            return _with_less_loss(state, fact)
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
        by_due(item.currency) + due,
        by_amount(item.currency, item.open_minor) + item.invoice_id,
        by_order(item.order_id, item.currency) + due,
    )


def _with_less_due(state: Account, invoice_id: str, amount_minor: int) -> Account:
    item = state.items[invoice_id]
    if item.open_minor > amount_minor:
        return _with_open(state, item, item.open_minor - amount_minor)
    index = state.item_index
    for key in _keys_of(item):
        index = index.removed(key)
    # A number is known as long as money that names it finds something: what is due, or what was written off.
    known = invoice_id in state.written_off
    numbers = state.numbers if known else state.numbers.delete(item.number.upper())
    return evolved(state, items=state.items.delete(invoice_id), numbers=numbers, item_index=index)


def _with_open(state: Account, item: OpenItem, open_minor: int) -> Account:
    index = state.item_index.removed(by_amount(item.currency, item.open_minor) + item.invoice_id)
    return evolved(
        state,
        items=state.items.set(item.invoice_id, evolved(item, open_minor=open_minor)),
        item_index=index.added(by_amount(item.currency, open_minor) + item.invoice_id),
    )


def _with_due_again(state: Account, again: OpenItem) -> Account:
    """The item due as given; one that is open still is paid on no day before either of its two."""
    item = state.items.get(again.invoice_id)
    if item is None:
        return _with_item(state, again)
    item = evolved(item, open_since=max(item.open_since, again.open_since))
    return _with_open(state, item, again.open_minor)


def _with_loss(state: Account, fact: WrittenOff) -> Account:
    item, known = state.items[fact.invoice_id], state.written_off.get(fact.invoice_id)
    amount_minor, since_on = fact.amount_minor, fact.written_on
    small_minor = amount_minor if fact.reason == SMALL_DIFFERENCE else 0
    if known is not None:
        amount_minor, small_minor = amount_minor + known.amount_minor, small_minor + known.small_minor
        since_on = max(since_on, known.since_on)
    ids = (item.invoice_id, item.number, item.order_id, item.currency)
    loss = Loss(*ids, item.total_minor, amount_minor, small_minor, since_on, item.due_on)
    return evolved(state, written_off=state.written_off.set(item.invoice_id, loss))


def _with_less_loss(state: Account, fact: WriteOffReversed) -> Account:
    loss = state.written_off[fact.invoice_id]
    rest_minor = loss.amount_minor - fact.amount_minor
    # Small differences come back first: they are all that an un-application brings back.
    less = evolved(loss, amount_minor=rest_minor, small_minor=max(loss.small_minor - fact.amount_minor, 0))
    written_off = state.written_off
    written_off = written_off.set(loss.invoice_id, less) if rest_minor else written_off.delete(loss.invoice_id)
    ids = (loss.invoice_id, loss.number, loss.order_id, loss.currency)
    again = OpenItem(*ids, loss.total_minor, fact.open_minor, fact.reversed_on, loss.due_on)
    return _with_due_again(evolved(state, written_off=written_off), again)


def _credit_of(fact: PaymentReceived) -> Credit:
    place = f"{fact.value_on}{_END}{fact.payment_id}"
    waits = [by_number(number, fact.currency) + place for number in named_in(fact.reference)]
    if fact.order_id:
        waits.append(by_order(fact.order_id, fact.currency) + place)
    if not waits:
        waits.append(free(fact.currency) + place)
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
    ids = (fact.invoice_id, fact.invoice_number, fact.order_id, fact.currency)
    state = _with_due_again(state, OpenItem(*ids, fact.total_minor, fact.open_minor, fact.unapplied_on, fact.due_on))
    # Waits for nothing: a person took it back, so a person decides what it pays, the source's other rest included.
    return _with_credit(state, Credit(fact.source_id, fact.currency, fact.amount_minor, fact.unapplied_on))
