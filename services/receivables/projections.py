"""The read tables of receivables: open items and their movements, money and what is left of it, the journal."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.receivables.domain.account_facts import (
    CashApplied,
    CashUnapplied,
    CreditNoteBooked,
    InvoiceBooked,
    JournalPosted,
    PaymentReceived,
    WriteOffReversed,
    WrittenOff,
)
from shared.eventsourced.facts import Recorded, instant_of
from shared.eventsourced.projecting import Column, FactProjection, Projection, Row, Table

# ---- Open items: one row per invoice; what is due is the sum of what happened to it

OPEN_ITEMS = Table(
    "open_items",
    (Column("invoice_id", "text"),),
    (
        Column("number", "text"),
        Column("order_id", "text"),
        Column("customer_id", "text"),
        Column("currency", "text"),
        Column("issued_on", "date"),
        Column("due_on", "date"),
        Column("total_minor", "bigint"),
        Column("open_minor", "bigint", "add"),
    ),
)


def _item_booked(r: Recorded) -> Sequence[Row]:
    f: InvoiceBooked = r.fact
    days = (f.issued_on, f.due_on)
    return ((f.invoice_id, f.number, f.order_id, f.customer_id, f.currency, *days, f.total_minor, f.total_minor),)


def _item_changed(invoice_id: str, delta_minor: int) -> Sequence[Row]:
    return ((invoice_id, None, None, None, None, None, None, None, delta_minor),)


# ---- Item movements: what aging as of any day is made of, each dated like the journal entry beside it

ITEM_MOVEMENTS = Table(
    "item_movements",
    (Column("invoice_id", "text"), Column("movement_id", "text")),
    (
        Column("kind", "text"),
        Column("source_id", "text"),
        Column("customer_id", "text"),
        Column("currency", "text"),
        Column("amount_minor", "bigint"),
        Column("effective_on", "date"),
    ),
    appended=True,
)


def _movement(r: Recorded, kind: str, source_id: str, amount_minor: int, on: date) -> Sequence[Row]:
    if not amount_minor:
        return ()
    return ((r.fact.invoice_id, r.id, kind, source_id, r.fact.customer_id, r.fact.currency, amount_minor, on),)


# ---- Unapplied money: one row per source and currency, nothing left of most

UNAPPLIED = Table(
    "unapplied",
    (Column("source_id", "text"), Column("currency", "text")),
    (
        Column("customer_id", "text"),
        Column("kind", "text"),
        Column("reference", "text"),
        Column("order_id", "text"),
        Column("since_on", "date", "max"),
        Column("rest_minor", "bigint", "add"),
        Column("recorded_at", "timestamptz", "max"),
    ),
)
"""`since_on`: of the business, as the day of value at the bank. `recorded_at`: when we heard that it pays nothing."""


def _money_came(r: Recorded) -> Sequence[Row]:
    f: PaymentReceived = r.fact
    texts = (f.customer_id, "payment", f.reference, f.order_id)
    return ((f.payment_id, f.currency, *texts, f.value_on, f.amount_minor, instant_of(r.meta.at)),)


def _credit_came(r: Recorded) -> Sequence[Row]:
    f: CreditNoteBooked = r.fact
    if not f.credited_minor:
        return ()
    texts = (f.customer_id, "credit_note", f.invoice_number, f.order_id)
    return ((f.credit_note_id, f.currency, *texts, f.issued_on, f.credited_minor, instant_of(r.meta.at)),)


def _money_used(r: Recorded) -> Sequence[Row]:
    f: CashApplied = r.fact
    return ((f.source_id, f.currency, None, None, None, None, None, -f.amount_minor, None),)


def _money_back(r: Recorded) -> Sequence[Row]:
    f: CashUnapplied = r.fact
    return ((f.source_id, f.currency, None, None, None, None, f.unapplied_on, f.amount_minor, instant_of(r.meta.at)),)


# ---- Payments as received

PAYMENTS = Table(
    "payments",
    (Column("payment_id", "text"),),
    (
        Column("customer_id", "text"),
        Column("amount_minor", "bigint"),
        Column("currency", "text"),
        Column("value_on", "date"),
        Column("method", "text"),
        Column("reference", "text"),
        Column("order_id", "text"),
    ),
    appended=True,
)


def _payment(r: Recorded) -> Sequence[Row]:
    f: PaymentReceived = r.fact
    return ((f.payment_id, f.customer_id, f.amount_minor, f.currency, f.value_on, f.method, f.reference, f.order_id),)


# ---- The journal, line by line

JOURNAL_LINES = Table(
    "journal_lines",
    (Column("entry_id", "text"), Column("line_no", "integer")),
    (
        Column("posted_on", "date"),
        Column("account", "text"),
        Column("debit_minor", "bigint"),
        Column("credit_minor", "bigint"),
        Column("currency", "text"),
        Column("customer_id", "text"),
        Column("document", "text"),
        Column("order_id", "text"),
    ),
    appended=True,
)


def _lines(r: Recorded) -> Sequence[Row]:
    f: JournalPosted = r.fact
    tail: tuple[Any, ...] = (f.currency, f.customer_id, f.document, f.order_id)
    return [
        (f.entry_id, line_no, f.posted_on, line.account, line.debit_minor, line.credit_minor, *tail)
        for line_no, line in enumerate(f.lines, 1)
    ]


PROJECTIONS: tuple[Projection, ...] = (
    FactProjection(
        OPEN_ITEMS,
        {
            InvoiceBooked: _item_booked,
            CashApplied: lambda r: _item_changed(r.fact.invoice_id, -r.fact.amount_minor),
            CashUnapplied: lambda r: _item_changed(r.fact.invoice_id, r.fact.amount_minor),
            WrittenOff: lambda r: _item_changed(r.fact.invoice_id, -r.fact.amount_minor),
            WriteOffReversed: lambda r: _item_changed(r.fact.invoice_id, r.fact.amount_minor),
            CreditNoteBooked: lambda r: _item_changed(r.fact.invoice_id, -r.fact.applied_minor),
        },
    ),
    FactProjection(
        ITEM_MOVEMENTS,
        {
            InvoiceBooked: lambda r: _movement(r, "invoiced", "", r.fact.total_minor, r.fact.issued_on),
            CashApplied: lambda r: _movement(r, "applied", r.fact.source_id, -r.fact.amount_minor, r.fact.applied_on),
            CashUnapplied: lambda r: _movement(
                r, "unapplied", r.fact.source_id, r.fact.amount_minor, r.fact.unapplied_on
            ),
            WrittenOff: lambda r: _movement(r, "written_off", "", -r.fact.amount_minor, r.fact.written_on),
            WriteOffReversed: lambda r: _movement(
                r, "write_off_reversed", r.fact.source_id, r.fact.amount_minor, r.fact.reversed_on
            ),
            CreditNoteBooked: lambda r: _movement(
                r, "credited", r.fact.credit_note_id, -r.fact.applied_minor, r.fact.applied_on
            ),
        },
    ),
    FactProjection(
        UNAPPLIED,
        {
            PaymentReceived: _money_came,
            CreditNoteBooked: _credit_came,
            CashApplied: _money_used,
            CashUnapplied: _money_back,
        },
    ),
    FactProjection(PAYMENTS, {PaymentReceived: _payment}),
    FactProjection(JOURNAL_LINES, {JournalPosted: _lines}),
)
