"""The documents that billing issued, as rows. A document never changes, so each row is written once."""

from collections.abc import Iterable
from typing import Any

import msgspec

from services.billing.domain.billing_state import CreditNoteIssued, Invoiced
from shared.eventsourced.facts import Recorded
from shared.eventsourced.projecting import Column, FactProjection, Projection, Row, Table

INVOICES = Table(
    "invoices",
    key=(Column("invoice_id", "text"),),
    columns=(
        Column("number", "text"),
        Column("series", "text"),
        Column("order_id", "text"),
        Column("customer_id", "text"),
        Column("currency", "text"),
        Column("lines", "jsonb"),
        Column("taxes", "jsonb"),
        Column("net_minor", "bigint"),
        Column("tax_minor", "bigint"),
        Column("total_minor", "bigint"),
        Column("issued_on", "date"),
        Column("due_on", "date"),
        Column("final", "boolean"),
        Column("shipment_id", "text"),
    ),
)

CREDIT_NOTES = Table(
    "credit_notes",
    key=(Column("credit_note_id", "text"),),
    columns=(
        Column("number", "text"),
        Column("series", "text"),
        Column("invoice_id", "text"),
        Column("invoice_number", "text"),
        Column("order_id", "text"),
        Column("customer_id", "text"),
        Column("currency", "text"),
        Column("lines", "jsonb"),
        Column("taxes", "jsonb"),
        Column("net_minor", "bigint"),
        Column("tax_minor", "bigint"),
        Column("total_minor", "bigint"),
        Column("issued_on", "date"),
        Column("reason", "text"),
        Column("return_id", "text"),
    ),
)


def _invoice(recorded: Recorded) -> Iterable[Row]:
    return [_row(INVOICES, recorded.fact)]


def _credit_note(recorded: Recorded) -> Iterable[Row]:
    return [_row(CREDIT_NOTES, recorded.fact)]


def _row(table: Table, fact: Invoiced | CreditNoteIssued) -> Row:
    """The fact's fields named as the table's columns; lines and taxes as JSON."""
    return tuple([_value(getattr(fact, column.name), column) for column in table.all_columns])


def _value(value: Any, column: Column) -> Any:
    return msgspec.json.encode(value).decode() if column.type == "jsonb" else value


PROJECTIONS: tuple[Projection, ...] = (
    FactProjection(INVOICES, {Invoiced: _invoice}),
    FactProjection(CREDIT_NOTES, {CreditNoteIssued: _credit_note}),
)
