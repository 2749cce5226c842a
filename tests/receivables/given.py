"""Facts and commands that many sentences about receivables begin with. Days are in March 2026, amounts in cents."""

from datetime import date
from typing import Any

from services.receivables.domain.account_facts import (
    ApplyCash,
    BookCreditNote,
    BookInvoice,
    CashApplied,
    InvoicePaid,
    JournalPosted,
    PaymentReceived,
    ReceivePayment,
    UnapplyCash,
    WriteOff,
    WriteOffReversed,
)
from services.receivables.domain.journal import JournalLine

CUSTOMER = "C-1"
ISSUED = date(2026, 3, 2)
DUE = date(2026, 4, 1)
PAID = date(2026, 3, 10)


def number_of(invoice_id: str) -> str:
    return f"INV-2026-{invoice_id}"


def book(invoice_id: str = "1", total_minor: int = 120_00, **changes: Any) -> BookInvoice:
    """An invoice of which a sixth is tax (20 %), unless `tax_minor` says otherwise."""
    tax_minor = changes.pop("tax_minor", total_minor // 6)
    values = {
        "invoice_id": invoice_id,
        "number": number_of(invoice_id),
        "order_id": "O-1",
        "customer_id": CUSTOMER,
        "currency": "EUR",
        "net_minor": total_minor - tax_minor,
        "tax_minor": tax_minor,
        "total_minor": total_minor,
        "issued_on": ISSUED,
        "due_on": DUE,
    }
    return BookInvoice(**{**values, **changes})


def pay(amount_minor: int = 120_00, payment_id: str = "P-1", **changes: Any) -> ReceivePayment:
    values = {
        "payment_id": payment_id,
        "customer_id": CUSTOMER,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "value_on": PAID,
        "method": "transfer",
        "reference": "",
        "order_id": "",
    }
    return ReceivePayment(**{**values, **changes})


def credit_note(total_minor: int, invoice_id: str = "1", **changes: Any) -> BookCreditNote:
    tax_minor = total_minor // 6
    values = {
        "credit_note_id": "CN-1",
        "number": "CRN-2026-1",
        "invoice_id": invoice_id,
        "invoice_number": number_of(invoice_id),
        "order_id": "O-1",
        "customer_id": CUSTOMER,
        "currency": "EUR",
        "net_minor": total_minor - tax_minor,
        "tax_minor": tax_minor,
        "total_minor": total_minor,
        "issued_on": date(2026, 3, 20),
    }
    return BookCreditNote(**{**values, **changes})


def apply(source_id: str, amount_minor: int, invoice_id: str = "1", on: date = date(2026, 3, 25)) -> ApplyCash:
    return ApplyCash(source_id, invoice_id, CUSTOMER, amount_minor, "Ada", on)


def unapply(amount_minor: int, applied_minor: int, invoice_id: str = "1", **changes: Any) -> UnapplyCash:
    values = {
        "source_id": "P-1",
        "invoice_id": invoice_id,
        "invoice_number": number_of(invoice_id),
        "order_id": "O-1",
        "customer_id": CUSTOMER,
        "currency": "EUR",
        "total_minor": 120_00,
        "due_on": DUE,
        "applied_minor": applied_minor,
        "applied_on": PAID,
        "amount_minor": amount_minor,
        "by": "Ada",
        "on": date(2026, 3, 25),
    }
    return UnapplyCash(**{**values, **changes})


def write_off(invoice_id: str = "1") -> WriteOff:
    return WriteOff(invoice_id, CUSTOMER, "insolvent", "Ada", date(2026, 3, 25))


def received(command: ReceivePayment) -> PaymentReceived:
    c = command
    return PaymentReceived(
        c.payment_id, c.customer_id, c.amount_minor, c.currency, c.value_on, c.method, c.reference, c.order_id
    )


def applied(
    amount_minor: int, open_minor: int, invoice_id: str = "1", source_id: str = "P-1", **changes: Any
) -> CashApplied:
    values = {
        "source_id": source_id,
        "invoice_id": invoice_id,
        "invoice_number": number_of(invoice_id),
        "order_id": "O-1",
        "customer_id": CUSTOMER,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "open_minor": open_minor,
        "applied_on": PAID,
    }
    return CashApplied(**{**values, **changes})


def reversed_off(amount_minor: int, open_minor: int, invoice_id: str = "1", **changes: Any) -> WriteOffReversed:
    values = {
        "invoice_id": invoice_id,
        "invoice_number": number_of(invoice_id),
        "order_id": "O-1",
        "customer_id": CUSTOMER,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "open_minor": open_minor,
        "reason": "cash_applied",
        "source_id": "P-1",
        "reversed_on": PAID,
    }
    return WriteOffReversed(**{**values, **changes})


def paid(invoice_id: str = "1", total_minor: int = 120_00, paid_on: date = PAID, order_id: str = "O-1") -> InvoicePaid:
    return InvoicePaid(invoice_id, number_of(invoice_id), order_id, CUSTOMER, total_minor, "EUR", paid_on)


def entry(number: int, posted_on: date, document: str, *lines: tuple[str, int], order_id: str = "") -> JournalPosted:
    """A journal entry of (account, amount) pairs, debits positive."""
    sides = tuple(JournalLine(account, max(m, 0), max(-m, 0)) for account, m in lines)
    return JournalPosted(f"J-{CUSTOMER}-{number}", CUSTOMER, posted_on, "EUR", document, sides, order_id)
