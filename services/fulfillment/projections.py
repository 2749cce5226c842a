"""What people ask fulfillment about, as rows: stock, orders in the warehouse, who waits, and what came too early."""

from collections.abc import Iterable

import msgspec

from services.fulfillment.domain.fulfillment import fulfillment
from services.fulfillment.domain.fulfillment_state import Fulfillment, ShipmentNoted, ShipmentRejected
from services.fulfillment.domain.stock import (
    AllocationsRevoked,
    BackordersFilled,
    Stock,
    StockAllocated,
    StockReleased,
    stock,
)
from shared.eventsourced.facts import Recorded, instant_of
from shared.eventsourced.projecting import Column, FactProjection, Projection, Row, StateProjection, Table

STOCK_LEVELS = Table(
    "stock_levels",
    key=(Column("sku", "text"),),
    columns=(Column("on_hand", "bigint"), Column("reserved", "bigint"), Column("backordered", "bigint")),
)

FULFILLMENTS = Table(
    "fulfillments",
    key=(Column("order_id", "text"),),
    columns=(
        Column("customer_id", "text"),
        Column("status", "text"),
        Column("ship_complete", "boolean"),
        Column("backordered", "bigint"),
        Column("reserved", "bigint"),
        Column("shipped", "bigint"),
        Column("shipments_waiting", "integer"),
        Column("lines", "jsonb"),
    ),
)

BACKORDERS = Table(
    "backorders",
    key=(Column("sku", "text"), Column("order_id", "text")),
    columns=(Column("quantity", "bigint", "add"), Column("queued_at", "timestamptz")),
)

NOTED_SHIPMENTS = Table(
    "noted_shipments",
    key=(Column("order_id", "text"), Column("shipment_id", "text")),
    columns=(Column("noted_at", "timestamptz"), Column("rejected_at", "timestamptz"), Column("reason", "text")),
)


def _stock_level(sku: str, state: Stock) -> Row:
    return sku, state.on_hand, state.reserved, state.backordered


def _fulfillment(order_id: str, state: Fulfillment) -> Row:
    lines = [
        {
            "line_no": line_no,
            "sku": line.sku,
            "ordered": line.ordered,
            "reserved": line.reserved,
            "shipped": line.shipped,
            "returned": line.returned,
        }
        for line_no, line in sorted(state.lines.items())
    ]
    return (
        order_id,
        state.customer_id,
        state.status,
        state.ship_complete,
        state.unreserved,
        state.reserved,
        state.shipped,
        len(state.waiting),
        msgspec.json.encode(lines).decode(),
    )


def _queued(recorded: Recorded) -> Iterable[Row]:
    fact: StockAllocated = recorded.fact
    return [(fact.sku, fact.order_id, fact.backordered, instant_of(recorded.meta.at))] if fact.backordered else ()


def _filled(recorded: Recorded) -> Iterable[Row]:
    fact: BackordersFilled = recorded.fact
    return [(fact.sku, fill.order_id, -fill.quantity, None) for fill in fact.fills]


def _revoked(recorded: Recorded) -> Iterable[Row]:
    fact: AllocationsRevoked = recorded.fact
    return [(fact.sku, loss.order_id, loss.quantity, instant_of(recorded.meta.at)) for loss in fact.revoked]


def _released(recorded: Recorded) -> Iterable[Row]:
    fact: StockReleased = recorded.fact
    return [(fact.sku, fact.order_id, -fact.backordered, None)] if fact.backordered else ()


def _noted(recorded: Recorded) -> Iterable[Row]:
    fact: ShipmentNoted = recorded.fact
    return [(fact.order_id, fact.shipment_id, instant_of(recorded.meta.at), None, None)]


def _rejected(recorded: Recorded) -> Iterable[Row]:
    fact: ShipmentRejected = recorded.fact
    return [(fact.order_id, fact.shipment_id, None, instant_of(recorded.meta.at), fact.reason)]


PROJECTIONS: tuple[Projection, ...] = (
    StateProjection(STOCK_LEVELS, stock, _stock_level),
    StateProjection(FULFILLMENTS, fulfillment, _fulfillment),
    FactProjection(
        BACKORDERS,
        {
            StockAllocated: _queued,
            BackordersFilled: _filled,
            AllocationsRevoked: _revoked,
            StockReleased: _released,
        },
    ),
    FactProjection(NOTED_SHIPMENTS, {ShipmentNoted: _noted, ShipmentRejected: _rejected}),
)
