"""Reads the documents of billing, page by page."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

_INVOICES = """
SELECT d.invoice_id, d.number, d.series, d.order_id, d.customer_id, d.currency, d.lines::text AS lines,
       d.taxes::text AS taxes, d.net_minor, d.tax_minor, d.total_minor, d.issued_on, d.due_on, d.final, d.shipment_id,
       (SELECT coalesce(sum(c.total_minor), 0)::bigint FROM credit_notes c WHERE c.invoice_id = d.invoice_id)
           AS credited_minor
FROM invoices d
"""
_CREDIT_NOTES = """
SELECT d.credit_note_id, d.number, d.series, d.invoice_id, d.invoice_number, d.order_id, d.customer_id, d.currency,
       d.lines::text AS lines, d.taxes::text AS taxes, d.net_minor, d.tax_minor, d.total_minor, d.issued_on, d.reason,
       d.return_id
FROM credit_notes d
"""
_NUMBER_SERIES = "SELECT series, last FROM number_series ORDER BY series"


async def invoices(
    commands: Commands,
    customer_id: str | None,
    order_id: str | None,
    number: str | None,
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    """A page of invoices by number. ContractError for a cursor we never gave."""
    asked = {"d.customer_id =": customer_id, "d.order_id =": order_id, "d.number =": number}
    return await _documents(commands, _INVOICES, asked, cursor, limit)


async def invoice(commands: Commands, invoice_id: str) -> Mapping[str, Any] | None:
    """One invoice, None when there is none with this id."""
    rows = await commands.fetch(f"{_INVOICES} WHERE d.invoice_id = $1", invoice_id)
    return _shown(rows)[0] if rows else None


async def credit_notes(
    commands: Commands, customer_id: str | None, order_id: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of credit notes by number. ContractError for a cursor we never gave."""
    asked = {"d.customer_id =": customer_id, "d.order_id =": order_id}
    return await _documents(commands, _CREDIT_NOTES, asked, cursor, limit)


async def number_series(commands: Commands) -> Sequence[Mapping[str, Any]]:
    """Every series and the last number taken in it; a handful a year."""
    rows: Sequence[Mapping[str, Any]] = await commands.fetch(_NUMBER_SERIES)
    return rows


async def _documents(
    commands: Commands, select: str, asked: Mapping[str, str | None], cursor: str | None, limit: int
) -> dict[str, Any]:
    after = decode_cursor(cursor, str)
    # Only the conditions that were asked for, so that each has an index to use.
    given = {condition: value for condition, value in asked.items() if value is not None}
    if after:
        given["d.number >"] = after[0]
    where = " AND ".join([f"{condition} ${i}" for i, condition in enumerate(given, 1)])
    sql = f"{select} {'WHERE ' + where if where else ''} ORDER BY d.number LIMIT {limit + 1}"
    rows = await commands.fetch(sql, *given.values())
    return page_of(_shown(rows), limit, lambda row: [row["number"]])


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "lines": msgspec.json.decode(row["lines"]), "taxes": msgspec.json.decode(row["taxes"])} for row in rows
    ]
