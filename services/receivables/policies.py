"""When invoices, credit notes and money are heard of, receivables does this."""

from collections.abc import Sequence

from services.receivables.domain.account import account
from services.receivables.domain.account_facts import BookCreditNote, BookInvoice, ReceivePayment
from services.receivables.domain.payment import PaymentRegistered, RegisterPayment, checked_payment, payment
from shared.contracts.billing import CreditNoteIssued, Invoiced
from shared.contracts.inbound import Payment
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.policy import Heard, Hears, Reactions
from shared.values import Value


class ReceivablesPolicy(Value, frozen=True, gc=False):
    """House rules. A short payment's rest of at most `write_off_max_minor`, in minor units, is not collected."""

    write_off_max_minor: int


def hears(policy: ReceivablesPolicy) -> Hears:
    """Which messages receivables listens to under these house rules."""

    def on_invoiced(m: Invoiced, _: Heard) -> Sequence[To[BookInvoice]]:
        amounts = (m.net_minor, m.tax_minor, m.total_minor)
        ids = (m.invoice_id, m.number, m.order_id, m.customer_id, m.currency)
        book = BookInvoice(*ids, *amounts, m.issued_on, m.due_on, policy.write_off_max_minor)
        return (To(account, m.customer_id, book),)

    return {Invoiced: on_invoiced, CreditNoteIssued: on_credit_note_issued, Payment: on_payment}


def on_credit_note_issued(m: CreditNoteIssued, _: Heard) -> Sequence[To[BookCreditNote]]:
    """A credit note lowers what is due, or becomes the customer's credit."""
    ids = (m.credit_note_id, m.number, m.invoice_id, m.invoice_number, m.order_id, m.customer_id, m.currency)
    book = BookCreditNote(*ids, m.net_minor, m.tax_minor, m.total_minor, m.issued_on)
    return (To(account, m.customer_id, book),)


def on_payment(m: Payment, _: Heard) -> Sequence[To[RegisterPayment]]:
    """Money from outside is registered under its id first. Raises ContractError for what cannot be taken."""
    texts = (m.method, m.reference, m.order_id)
    register = RegisterPayment(m.payment_id, m.customer_id, m.amount_minor, m.currency, m.value_on, *texts)
    return (To(payment, m.payment_id, checked_payment(register)),)


def reactions(policy: ReceivablesPolicy) -> Reactions:
    """A payment that was registered for the first time is received on its customer's account."""

    def react(facts: Sequence[Recorded]) -> Sequence[To[ReceivePayment]]:
        return [
            To(account, recorded.fact.customer_id, _receive(recorded.fact, policy))
            for recorded in facts
            if type(recorded.fact) is PaymentRegistered
        ]

    return react


def _receive(p: PaymentRegistered, policy: ReceivablesPolicy) -> ReceivePayment:
    ids = (p.payment_id, p.customer_id, p.amount_minor, p.currency)
    return ReceivePayment(*ids, p.value_on, p.method, p.reference, p.order_id, policy.write_off_max_minor)
