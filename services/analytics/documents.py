"""The documents as they were said, for SQL: one row per document or movement, written once and hardly ever again."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from shared.contracts import billing, fulfillment, orders, receivables
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import Column, MessageProjection, Row, Table


def _lines(lines: Iterable[Any]) -> str:
    """Lines as JSON arrays of their values, in the order of their fields: half the bytes of named ones."""
    return msgspec.json.encode([msgspec.structs.astuple(line) for line in lines]).decode()


def _table(name: str, key: str, **columns: str) -> Table:
    """A table with this text key and these columns and types."""
    return Table(name, (Column(key, "text"),), tuple(Column(column, kind) for column, kind in columns.items()))


PLACED_ORDERS = _table(
    "placed_orders",
    "order_id",
    customer_id="text",
    currency="text",
    net_minor="bigint",
    tax_minor="bigint",
    total_minor="bigint",
    ordered_at="timestamptz",
    payment_terms_days="bigint",
    prepaid="boolean",
    recorded_at="timestamptz",
    lines="json",
)


def _placed(m: orders.OrderPlaced, heard: Heard) -> Iterable[Row]:
    amounts = (m.currency, m.net_minor, m.tax_minor, m.total_minor)
    terms = (m.placed_at, m.payment_terms_days, m.prepaid)
    return ((m.order_id, m.customer_id, *amounts, *terms, heard.at, _lines(m.lines)),)


SHIPMENTS = Table(
    "order_shipments",
    (Column("order_id", "text"), Column("shipment_id", "text")),
    (
        Column("customer_id", "text"),
        Column("carrier", "text"),
        Column("tracking", "text"),
        Column("final", "boolean"),
        Column("shipped_at", "timestamptz"),
        Column("delivered_at", "timestamptz"),
        Column("recorded_at", "timestamptz"),
        Column("lines", "json"),
    ),
)
"""Warehouses count parcels per order: the id of a shipment is one within its order."""


def _shipped(m: fulfillment.Shipped, heard: Heard) -> Iterable[Row]:
    about = (m.customer_id, m.carrier, m.tracking, m.final)
    return ((m.order_id, m.shipment_id, *about, m.shipped_at, None, heard.at, _lines(m.lines)),)


def _delivered(m: fulfillment.Delivered, _: Heard) -> Iterable[Row]:
    return ((m.order_id, m.shipment_id, *[None] * 5, m.delivered_at, None, None),)


BILLS = Table(
    "bills",
    (Column("bill_id", "text"), Column("kind", "text")),
    (
        Column("number", "text"),
        Column("invoice_id", "text"),
        Column("order_id", "text"),
        Column("customer_id", "text"),
        Column("shipment_id", "text"),
        Column("currency", "text"),
        Column("net_minor", "bigint"),
        Column("tax_minor", "bigint"),
        Column("total_minor", "bigint"),
        Column("issued_on", "date"),
        Column("due_on", "date"),
        Column("final", "boolean"),
        Column("reason", "text"),
        Column("recorded_at", "timestamptz"),
        Column("lines", "json"),
    ),
)


def _amounts(m: billing.Invoiced | billing.CreditNoteIssued) -> Row:
    return (m.currency, m.net_minor, m.tax_minor, m.total_minor, m.issued_on)


def _invoice(m: billing.Invoiced, heard: Heard) -> Iterable[Row]:
    ids = (m.invoice_id, "invoice", m.number, m.invoice_id, m.order_id, m.customer_id, m.shipment_id)
    return ((*ids, *_amounts(m), m.due_on, m.final, "", heard.at, _lines(m.lines)),)


def _credit_note(m: billing.CreditNoteIssued, heard: Heard) -> Iterable[Row]:
    ids = (m.credit_note_id, "credit_note", m.number, m.invoice_id, m.order_id, m.customer_id, "")
    return ((*ids, *_amounts(m), None, None, m.reason, heard.at, _lines(m.lines)),)


RECEIPTS = _table(
    "receipts",
    "payment_id",
    customer_id="text",
    order_id="text",
    currency="text",
    amount_minor="bigint",
    value_on="date",
    method="text",
    reference="text",
    recorded_at="timestamptz",
)


def _receipt(m: receivables.PaymentReceived, heard: Heard) -> Iterable[Row]:
    about = (m.customer_id, m.order_id, m.currency, m.amount_minor, m.value_on, m.method, m.reference)
    return ((m.payment_id, *about, heard.at),)


RECEIVABLE_MOVEMENTS = Table(
    "receivable_movements",
    (Column("invoice_id", "text"), Column("movement_id", "text")),
    (
        Column("kind", "text"),
        Column("source_id", "text"),
        Column("order_id", "text"),
        Column("customer_id", "text"),
        Column("currency", "text"),
        Column("amount_minor", "bigint"),
        Column("effective_on", "date"),
        Column("recorded_at", "timestamptz"),
    ),
    appended=True,
)


def _movement(m: Any, heard: Heard, kind: str, source_id: str, amount_minor: int, on: date | None) -> Iterable[Row]:
    """One movement. A message of before its type had a day takes effect on the day it was said.

    A credit note on an invoice that is paid takes nothing off it, so it moves nothing. An invoice over nothing is
    booked all the same.
    """
    if not amount_minor and kind != "invoiced":
        return ()
    effective_on = heard.at.date() if on is None else on
    about = (kind, source_id, m.order_id, m.customer_id, m.currency)
    return ((m.invoice_id, heard.id, *about, amount_minor, effective_on, heard.at),)


_MOVEMENTS: Mapping[type[Any], Callable[[Any, Heard], Iterable[Row]]] = {
    billing.Invoiced: lambda m, h: _movement(m, h, "invoiced", "", m.total_minor, m.issued_on),
    receivables.CashApplied: lambda m, h: _movement(m, h, "applied", m.source_id, -m.amount_minor, m.applied_on),
    receivables.CashUnapplied: lambda m, h: _movement(m, h, "unapplied", m.source_id, m.amount_minor, m.unapplied_on),
    receivables.WrittenOff: lambda m, h: _movement(m, h, "written_off", "", -m.amount_minor, m.written_on),
    receivables.WriteOffReversed: lambda m, h: _movement(
        m, h, "write_off_reversed", m.source_id, m.amount_minor, m.reversed_on
    ),
    receivables.CreditNoteBooked: lambda m, h: _movement(
        m, h, "credited", m.credit_note_id, -m.applied_minor, m.applied_on
    ),
}

JOURNAL_ENTRIES = _table(
    "journal_entries",
    "entry_id",
    posted_on="date",
    customer_id="text",
    order_id="text",
    document="text",
    currency="text",
    recorded_at="timestamptz",
    lines="json",
)


def _entry(m: receivables.JournalPosted, heard: Heard) -> Iterable[Row]:
    about = (m.posted_on, m.customer_id, m.order_id, m.document, m.currency)
    return ((m.entry_id, *about, heard.at, _lines(m.lines)),)


DOCUMENTS = (
    MessageProjection(PLACED_ORDERS, {orders.OrderPlaced: _placed}),
    MessageProjection(SHIPMENTS, {fulfillment.Shipped: _shipped, fulfillment.Delivered: _delivered}),
    MessageProjection(BILLS, {billing.Invoiced: _invoice, billing.CreditNoteIssued: _credit_note}),
    MessageProjection(RECEIPTS, {receivables.PaymentReceived: _receipt}),
    MessageProjection(RECEIVABLE_MOVEMENTS, _MOVEMENTS),
    MessageProjection(JOURNAL_ENTRIES, {receivables.JournalPosted: _entry}),
)
