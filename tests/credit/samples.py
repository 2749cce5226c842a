"""Sentences' words for credit: one customer with a limit of 1,000.00 EUR, and short names for what is asked."""

from services.credit.domain.credit_account import credit_account
from services.credit.domain.credit_commands import NoteInvoice, NotePayment, ReleaseCredit, RequestCredit
from services.credit.domain.credit_facts import (
    CreditAccountOpened,
    CreditApproved,
    CreditDeclined,
    CreditReferred,
    InvoiceNoted,
    PaymentNoted,
)
from shared.eventsourced.testing import Scenario

C = "C-1"
LIMIT = 100_000
OPENED = CreditAccountOpened(C, LIMIT, "EUR")

unknown = Scenario(credit_account)
account = unknown.given(OPENED)


def request(
    order_id: str, amount: int, *, currency: str = "EUR", prepaid: bool = False, tolerance_bp: int = 1_000
) -> RequestCredit:
    """An order asks for credit; a person may decide on an excess of 10 % of the limit."""
    return RequestCredit(order_id, C, amount, currency, prepaid, tolerance_bp)


def approved(order_id: str, amount: int, *, waited: bool = False, by: str = "policy", note: str = "") -> CreditApproved:
    return CreditApproved(order_id, C, amount, "EUR", by, waited, note)


def declined(order_id: str, amount: int, available: int, reason: str = "limit_exceeded") -> CreditDeclined:
    return CreditDeclined(order_id, C, amount, "EUR", reason, available)


def referred(order_id: str, amount: int, excess: int) -> CreditReferred:
    return CreditReferred(order_id, C, amount, "EUR", "limit_exceeded", excess)


def invoice(order_id: str, amount: int, *, final: bool = True) -> NoteInvoice:
    return NoteInvoice(order_id, C, amount, "EUR", final)


def invoiced(order_id: str, amount: int, *, final: bool = True) -> InvoiceNoted:
    return InvoiceNoted(order_id, amount, "EUR", final)


def pay(amount: int, currency: str = "EUR") -> NotePayment:
    return NotePayment(C, amount, currency)


def paid(amount: int, currency: str = "EUR") -> PaymentNoted:
    return PaymentNoted(amount, currency)


def release(order_id: str) -> ReleaseCredit:
    return ReleaseCredit(order_id, C)
