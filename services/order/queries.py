"""Questions about orders, answered from the read tables."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.errors import ContractError, Problem
from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

_ORDERS = """
SELECT order_id, customer_id, status, reason, currency, total_minor, line_count, prepaid, placed_at, confirmed_at,
       allocation, shipments, shipped_fully, invoices_open, invoiced_fully, invoiced_minor,
       paid_minor AS settled_minor, paid_minor, credited_minor
FROM orders {conditions} ORDER BY placed_at DESC, order_id DESC LIMIT $1
"""


async def orders(
    commands: Commands, cursor: str | None, limit: int, status: str | None, customer_id: str | None
) -> dict[str, Any]:
    """A page of orders, youngest first; `status` and `customer_id` narrow it when they are not None."""
    args: list[Any] = [limit + 1]
    conditions = []
    if (after := decode_cursor(cursor, str, str)) is not None:
        args += [_instant(after[0]), after[1]]
        conditions.append("(placed_at, order_id) < ($2, $3)")
    for column, value in (("status", status), ("customer_id", customer_id)):
        if value is not None:
            args.append(value)
            conditions.append(f"{column} = ${len(args)}")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = await commands.fetch(_ORDERS.format(conditions=where), *args)
    return page_of(rows, limit, _key)


def _key(row: Mapping[str, Any]) -> list[str | int]:
    return [row["placed_at"].astimezone(UTC).isoformat(), row["order_id"]]


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is not UTC:
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    return instant
