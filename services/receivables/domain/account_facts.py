"""What can happen to, and be asked of, a customer's account: its facts, commands and state."""

from datetime import date

from services.receivables.domain.journal import JournalLine
from services.receivables.domain.sorted_keys import SortedKeys
from shared.eventsourced.facts import Command, Fact, State, fact
from shared.values import Map, Value

POLICY = "policy"
"""Who decided, when no person did."""

SMALL_DIFFERENCE = "small_difference"
"""Why policy writes off; people give reasons of their own."""

CASH_APPLIED, CASH_UNAPPLIED, CREDIT_NOTE = "cash_applied", "cash_unapplied", "credit_note"
"""Why a write-off is reversed: money pays it, the money that all but paid it is taken back, it is credited."""

# ---- Facts


@fact("receivables.InvoiceBooked")
class InvoiceBooked(Fact, frozen=True, gc=False):
    """An invoice became an open item, due on `due_on`. Amounts in minor units of `currency`."""

    invoice_id: str
    number: str
    order_id: str
    customer_id: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date
    due_on: date


@fact("receivables.CreditNoteBooked")
class CreditNoteBooked(Fact, frozen=True, gc=False):
    """A credit note lowered what is due by `applied_minor`; the rest, `credited_minor`, is the customer's credit.

    `applied_on`: the first day on which both the credit note and the open amount are there.
    """

    credit_note_id: str
    number: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    applied_minor: int
    credited_minor: int
    issued_on: date
    applied_on: date


@fact("receivables.PaymentReceived")
class PaymentReceived(Fact, frozen=True, gc=False):
    """Money came in and is the customer's credit until it is applied. `value_on`: the bank's value day."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str
    order_id: str


@fact("receivables.CashApplied")
class CashApplied(Fact, frozen=True, gc=False):
    """Money of a payment or credit note pays an invoice; `open_minor` remains due on it.

    `applied_on`: the first day on which both the money and the invoice are there. `by`: `policy` or a person.
    """

    source_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    open_minor: int
    applied_on: date
    by: str = POLICY


@fact("receivables.CashUnapplied")
class CashUnapplied(Fact, frozen=True, gc=False):
    """A person took an application back: `open_minor` is due on the invoice again, the money is credit again.

    The invoice's own total and due day come along, because a closed item was forgotten.
    """

    source_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    open_minor: int
    total_minor: int
    due_on: date
    unapplied_on: date
    by: str


@fact("receivables.InvoicePaid")
class InvoicePaid(Fact, frozen=True, gc=False):
    """Nothing is due on the invoice any more: paid, credited or written off. `paid_on`: the day that closed it."""

    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    total_minor: int
    currency: str
    paid_on: date


@fact("receivables.WrittenOff")
class WrittenOff(Fact, frozen=True, gc=False):
    """The open rest is not collected. `reason`: `small_difference` or what the person in `by` gave."""

    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    written_on: date
    by: str = POLICY


@fact("receivables.WriteOffReversed")
class WriteOffReversed(Fact, frozen=True, gc=False):
    """What was written off is due again, `open_minor` in all; what pays or credits it comes right after.

    `reason`: `cash_applied`, `cash_unapplied` or `credit_note`; `source_id`: that payment or credit note.
    `reversed_on`: the first day on which both that and the write-off are there.
    """

    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    open_minor: int
    reason: str
    source_id: str
    reversed_on: date
    by: str = POLICY


@fact("receivables.JournalPosted")
class JournalPosted(Fact, frozen=True, gc=False):
    """A balanced double entry in one currency, dated in the day it takes effect."""

    entry_id: str
    customer_id: str
    posted_on: date
    currency: str
    document: str
    lines: tuple[JournalLine, ...]
    order_id: str


AccountFact = (
    InvoiceBooked
    | CreditNoteBooked
    | PaymentReceived
    | CashApplied
    | CashUnapplied
    | InvoicePaid
    | WrittenOff
    | WriteOffReversed
    | JournalPosted
)

# ---- Commands


class BookInvoice(Command, frozen=True, gc=False):
    """Make an invoice an open item. A rest of at most `write_off_max_minor` after prepayments is written off."""

    invoice_id: str
    number: str
    order_id: str
    customer_id: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date
    due_on: date
    write_off_max_minor: int = 0


class BookCreditNote(Command, frozen=True, gc=False):
    """Take back part or all of an invoice that was booked before, open or not."""

    credit_note_id: str
    number: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date


class ReceivePayment(Command, frozen=True, gc=False):
    """Take in money and apply it to what it names. A rest due of at most `write_off_max_minor` is written off."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str
    order_id: str
    write_off_max_minor: int = 0


class ApplyCash(Command, frozen=True, gc=False):
    """A person applies unapplied money of `source_id` to an invoice, open or written off, on the day `on`."""

    source_id: str
    invoice_id: str
    customer_id: str
    amount_minor: int
    by: str
    on: date


class UnapplyCash(Command, frozen=True, gc=False):
    """A person takes back `amount_minor` of the `applied_minor` of a source that pay this invoice, on the day `on`.

    What was applied, and until when (`applied_on`), is history that an account forgets: the caller reads it and must
    give the stream version that it was read at as `expected_version`.
    """

    source_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    currency: str
    total_minor: int
    due_on: date
    applied_minor: int
    applied_on: date
    amount_minor: int
    by: str
    on: date


class WriteOff(Command, frozen=True, gc=False):
    """A person gives up what is open on an invoice, for a reason, on the day `on`."""

    invoice_id: str
    customer_id: str
    reason: str
    by: str
    on: date


AccountCommand = BookInvoice | BookCreditNote | ReceivePayment | ApplyCash | UnapplyCash | WriteOff

# ---- State


class OpenItem(Value, frozen=True, gc=False):
    """An invoice of which `open_minor` (1 … total) is still due.

    `open_since`: its day of issue, or the last day on which money was taken back from it. Nothing pays it on an earlier
    day, so that it is not negative as of any day.
    """

    invoice_id: str
    number: str
    order_id: str
    currency: str
    total_minor: int
    open_minor: int
    open_since: date
    due_on: date


class Loss(Value, frozen=True, gc=False):
    """What was written off on an invoice and not reversed: `amount_minor` (1 … total), `small_minor` of it by policy.

    `since_on`: the last day of a write-off. Nothing comes back on an earlier day, so that no loss is negative as of any
    day.
    """

    invoice_id: str
    number: str
    order_id: str
    currency: str
    total_minor: int
    amount_minor: int
    small_minor: int
    since_on: date
    due_on: date


class Credit(Value, frozen=True, gc=False):
    """Money of a payment or credit note that pays nothing yet: `rest_minor` (1 …), ours to owe since `since_on`.

    `waits_for`: keys in the account's index under which a new invoice finds it; empty if a person shall decide.
    """

    source_id: str
    currency: str
    rest_minor: int
    since_on: date
    waits_for: tuple[str, ...] = ()


class Account(State, frozen=True, gc=False):
    """What is open or written off, never what was. `entries`: journal entries so far, so that each has its own id.

    `items` and `written_off` by invoice id, `numbers`: number in capitals → id of an invoice that is in one of them,
    `credits` by currency and source id.
    `item_index` finds open items by due day, amount and order; `credit_index` finds credit by what it waits for.
    """

    items: Map[str, OpenItem] = Map()
    numbers: Map[str, str] = Map()
    item_index: SortedKeys = SortedKeys()
    credits: Map[str, Credit] = Map()
    credit_index: SortedKeys = SortedKeys()
    entries: int = 0
    written_off: Map[str, Loss] = Map()
