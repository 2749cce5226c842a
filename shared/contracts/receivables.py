"""What the receivables service says on `o2c.receivables.events`: cash, its application, and the journal."""

from datetime import date

from shared.contracts.messages import Message, Speaker
from shared.values import Value

RECEIVABLES = Speaker("receivables", "o2c.receivables.events")


@RECEIVABLES.says(subject="payment_id")
class PaymentReceived(Message, frozen=True, gc=False):
    """Money came in. `value_on`: the bank's value day. `order_id` or `reference` may say what it is for."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str = ""
    order_id: str = ""


@RECEIVABLES.says()
class CashApplied(Message, frozen=True, gc=False):
    """Part of a payment or of a customer's credit pays an invoice; `open_minor` remains due on it.

    `source_id`: the payment or credit note whose money is used. `applied_on`: the first day on which both the money
    and the invoice are there.
    """

    source_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    open_minor: int
    applied_on: date | None = None


@RECEIVABLES.says()
class CashUnapplied(Message, frozen=True, gc=False):
    """An application was taken back: the invoice is open again and the money is the customer's credit."""

    source_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    open_minor: int
    unapplied_on: date | None = None


@RECEIVABLES.says()
class CreditNoteBooked(Message, frozen=True, gc=False):
    """A credit note lowers what is due on its invoice by `applied_minor`; `credited_minor` is the customer's credit.

    `applied_on`: the first day on which both the credit note and the open amount are there.
    """

    credit_note_id: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    applied_minor: int
    credited_minor: int
    currency: str
    applied_on: date


@RECEIVABLES.says()
class InvoicePaid(Message, frozen=True, gc=False):
    """Nothing is due on the invoice any more. `paid_on`: the value day that closed it."""

    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    total_minor: int
    currency: str
    paid_on: date


@RECEIVABLES.says()
class WrittenOff(Message, frozen=True, gc=False):
    """A rest that is not collected. `reason`: `small_difference` or what a person gave."""

    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    written_on: date | None = None


@RECEIVABLES.says()
class WriteOffReversed(Message, frozen=True, gc=False):
    """What was written off is due again, `open_minor` in all; what pays or credits it is said right after.

    `reason`: `cash_applied`, `cash_unapplied` or `credit_note`. `source_id`: the payment or credit note behind it.
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


class JournalLine(Value, frozen=True, gc=False):
    """One side of an entry, in minor units; exactly one of debit and credit is positive."""

    account: str
    debit_minor: int
    credit_minor: int


@RECEIVABLES.says(subject="entry_id")
class JournalPosted(Message, frozen=True, gc=False):
    """A balanced double entry, Σ debits = Σ credits, in one currency, dated in the day it takes effect."""

    entry_id: str
    customer_id: str
    posted_on: date
    currency: str
    document: str
    lines: tuple[JournalLine, ...]
    order_id: str = ""
