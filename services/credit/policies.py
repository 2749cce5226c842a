"""When this happens elsewhere, credit does that: every message about orders and money becomes an account's command."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.credit.domain.credit_account import credit_account
from services.credit.domain.credit_commands import (
    CreditCommand,
    NoteCreditNote,
    NoteInvoice,
    NotePayment,
    NoteWriteOff,
    OpenCreditAccount,
    ReleaseCredit,
    RequestCredit,
)
from shared.contracts.billing import CreditNoteIssued, Invoiced
from shared.contracts.orders import CustomerRegistered, OrderCancelled, OrderPlaced, OrderRejected
from shared.contracts.receivables import PaymentReceived, WriteOffReversed, WrittenOff
from shared.eventsourced.decider import To
from shared.eventsourced.policy import Heard, Hears


@dataclass(frozen=True)
class CreditPolicy:
    """House rules. `limit_minor`: the limit of a new account. `referral_tolerance_bp`: the excess up to which a person
    decides, in basis points of the limit.
    """

    limit_minor: int
    referral_tolerance_bp: int


Commands = Sequence[To[CreditCommand]]


def hears(policy: CreditPolicy) -> Hears:
    """What credit listens to, under these house rules."""

    def on_customer_registered(message: CustomerRegistered, _: Heard) -> Commands:
        customer_id = message.customer_id
        return _to(customer_id, OpenCreditAccount(customer_id, policy.limit_minor, message.currency))

    def on_order_placed(message: OrderPlaced, _: Heard) -> Commands:
        return _to(
            message.customer_id,
            RequestCredit(
                message.order_id,
                message.customer_id,
                message.total_minor,
                message.currency,
                message.prepaid,
                policy.referral_tolerance_bp,
            ),
        )

    return {
        CustomerRegistered: on_customer_registered,
        OrderPlaced: on_order_placed,
        Invoiced: on_invoiced,
        PaymentReceived: on_payment_received,
        CreditNoteIssued: on_credit_note_issued,
        WrittenOff: on_written_off,
        WriteOffReversed: on_write_off_reversed,
        OrderCancelled: on_order_ended,
        OrderRejected: on_order_ended,
    }


def on_invoiced(message: Invoiced, _: Heard) -> Commands:
    """The amount moves from what is reserved to what is invoiced."""
    customer_id = message.customer_id
    return _to(
        customer_id,
        NoteInvoice(message.order_id, customer_id, message.total_minor, message.currency, message.final),
    )


def on_payment_received(message: PaymentReceived, _: Heard) -> Commands:
    """Money lowers exposure when it comes in, whether or not it is applied to invoices yet."""
    return _to(message.customer_id, NotePayment(message.customer_id, message.amount_minor, message.currency))


def on_credit_note_issued(message: CreditNoteIssued, _: Heard) -> Commands:
    """What was taken back is not owed."""
    return _to(message.customer_id, NoteCreditNote(message.customer_id, message.total_minor, message.currency))


def on_written_off(message: WrittenOff, _: Heard) -> Commands:
    """What is not collected is not owed."""
    return _to(message.customer_id, NoteWriteOff(message.customer_id, message.amount_minor, message.currency))


def on_write_off_reversed(message: WriteOffReversed, _: Heard) -> Commands:
    """What comes back is owed again, until the money or the credit note that it comes back for lowers it."""
    return _to(message.customer_id, NoteWriteOff(message.customer_id, -message.amount_minor, message.currency))


def on_order_ended(message: OrderCancelled | OrderRejected, _: Heard) -> Commands:
    """An order that will never be invoiced needs no credit."""
    return _to(message.customer_id, ReleaseCredit(message.order_id, message.customer_id))


def _to(customer_id: str, command: CreditCommand) -> Sequence[To[Any]]:
    return (To(credit_account, customer_id, command),)
