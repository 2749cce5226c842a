"""Reads the read tables of fulfillment, page by page."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

_STOCK_LEVELS = "SELECT sku, on_hand, reserved, backordered FROM stock_levels"
_FULFILLMENTS = (
    "SELECT order_id, customer_id, status, ship_complete, backordered, reserved, shipped, shipments_waiting, "
    "lines::text AS lines FROM fulfillments"
)
_BACKORDERS = "SELECT sku, order_id, quantity, queued_at FROM backorders"
_REJECTED = "SELECT order_id, shipment_id, reason, noted_at, rejected_at FROM noted_shipments"


async def stock_levels(commands: Commands, cursor: str | None, limit: int) -> dict[str, Any]:
    """A page of stock levels, by product. ContractError for a cursor we never gave."""
    where = _Where()
    where.after("(sku) > ({})", decode_cursor(cursor, str))
    rows = await commands.fetch(f"{_STOCK_LEVELS} {where} ORDER BY sku LIMIT {limit + 1}", *where.values)
    return page_of(rows, limit, lambda row: [row["sku"]])


async def stock_level(commands: Commands, sku: str) -> Mapping[str, Any] | None:
    """The level of one product, None when nothing ever happened to it."""
    rows: Sequence[Mapping[str, Any]] = await commands.fetch(f"{_STOCK_LEVELS} WHERE sku = $1", sku)
    return rows[0] if rows else None


async def fulfillments(
    commands: Commands, status: str | None, customer_id: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of orders in the warehouse, by order id. ContractError for a cursor we never gave."""
    where = _Where()
    where.equal("status", status)
    where.equal("customer_id", customer_id)
    where.after("(order_id) > ({})", decode_cursor(cursor, str))
    rows = await commands.fetch(f"{_FULFILLMENTS} {where} ORDER BY order_id LIMIT {limit + 1}", *where.values)
    shown = [{**row, "lines": msgspec.json.decode(row["lines"])} for row in rows]
    return page_of(shown, limit, lambda row: [row["order_id"]])


async def backorders(
    commands: Commands, sku: str | None, order_id: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of what waits for stock, by product and order. ContractError for a cursor we never gave."""
    where = _Where("quantity > 0")
    where.equal("sku", sku)
    where.equal("order_id", order_id)
    where.after("(sku, order_id) > ({}, {})", decode_cursor(cursor, str, str))
    rows = await commands.fetch(f"{_BACKORDERS} {where} ORDER BY sku, order_id LIMIT {limit + 1}", *where.values)
    return page_of(rows, limit, lambda row: [row["sku"], row["order_id"]])


async def rejected_shipments(
    commands: Commands, order_id: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of shipments that waited and were rejected, by order. ContractError for a cursor we never gave."""
    where = _Where("rejected_at IS NOT NULL")
    where.equal("order_id", order_id)
    where.after("(order_id, shipment_id) > ({}, {})", decode_cursor(cursor, str, str))
    rows = await commands.fetch(f"{_REJECTED} {where} ORDER BY order_id, shipment_id LIMIT {limit + 1}", *where.values)
    return page_of(rows, limit, lambda row: [row["order_id"], row["shipment_id"]])


class _Where:
    """Conditions with numbered parameters; only those a caller asked for, so that each has an index to use."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = list(conditions)
        self.values: list[Any] = []

    def equal(self, column: str, value: Any) -> None:
        """The column has this value; None: any."""
        if value is not None:
            self.after(f"{column} = {{}}", [value])

    def after(self, condition: str, values: Sequence[Any] | None) -> None:
        """A condition with a place `{}` for each value; None: no condition."""
        if values is not None:
            first = len(self.values) + 1
            self._conditions.append(condition.format(*[f"${first + i}" for i in range(len(values))]))
            self.values.extend(values)

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
