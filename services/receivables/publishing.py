"""What the world hears of receivables: money, what it pays, credit notes as booked, and the journal."""

from services.receivables.domain import account_facts as own
from shared.contracts import receivables as public
from shared.eventsourced.publishing import Publishing, Says, same


def _journal_posted(fact: own.JournalPosted) -> public.JournalPosted:
    lines = tuple([public.JournalLine(line.account, line.debit_minor, line.credit_minor) for line in fact.lines])
    assert sum([line.debit_minor - line.credit_minor for line in lines]) == 0, "an entry leaves us balanced"
    head = (fact.entry_id, fact.customer_id, fact.posted_on, fact.currency, fact.document)
    return public.JournalPosted(*head, lines, fact.order_id)


SAYS: Publishing = {
    own.PaymentReceived: same(public.PaymentReceived),
    own.CashApplied: same(public.CashApplied),
    own.CashUnapplied: same(public.CashUnapplied),
    own.CreditNoteBooked: same(public.CreditNoteBooked),
    own.InvoicePaid: same(public.InvoicePaid),
    own.WrittenOff: same(public.WrittenOff),
    own.WriteOffReversed: same(public.WriteOffReversed),
    own.JournalPosted: Says(public.JournalPosted, _journal_posted),
}
