"""What must hold in fulfillment: stock is what came in less what went out, and nobody holds what is not there."""

from o2c.verify.documents import quantities
from o2c.verify.stores import Stores, facts
from o2c.verify.verdict import Finding, at_most, same, together

_ON_HAND = f"""
SELECT d->>'sku', sum(CASE topic WHEN 'fulfillment.StockAdjusted' THEN (d->>'quantity_delta')::bigint
                                 WHEN 'fulfillment.StockIssued' THEN -(d->>'quantity')::bigint
                                 ELSE (d->>'quantity')::bigint END)::bigint
FROM {
    facts(
        "fulfillment.StockReceived",
        "fulfillment.StockAdjusted",
        "fulfillment.StockRestocked",
        "fulfillment.StockIssued",
    )
} f GROUP BY 1
"""
_RESERVED = f"""
SELECT d->>'sku', sum(CASE topic
    WHEN 'fulfillment.BackordersFilled' THEN
        (SELECT coalesce(sum((q->>'quantity')::bigint), 0) FROM jsonb_array_elements(d->'fills') q)
    WHEN 'fulfillment.AllocationsRevoked' THEN
        (SELECT -coalesce(sum((q->>'quantity')::bigint), 0) FROM jsonb_array_elements(d->'revoked') q)
    WHEN 'fulfillment.StockAllocated' THEN (d->>'quantity')::bigint
    ELSE -(d->>'quantity')::bigint END)::bigint
FROM {
    facts(
        "fulfillment.StockAllocated",
        "fulfillment.BackordersFilled",
        "fulfillment.AllocationsRevoked",
        "fulfillment.StockReleased",
        "fulfillment.StockIssued",
    )
} f GROUP BY 1
"""


async def stock_is_what_was_recorded(stores: Stores) -> Finding:
    """On hand and reserved of every article, recomputed from all that happened to it, are what the read table says."""
    on_hand = await stores.table("fulfillment", "SELECT sku, on_hand FROM stock_levels")
    reserved = await stores.table("fulfillment", "SELECT sku, reserved FROM stock_levels")
    return together(
        [
            same(on_hand, await stores.table("fulfillment", _ON_HAND)),
            same(reserved, await stores.table("fulfillment", _RESERVED)),
        ]
    )


async def reserved_is_at_most_on_hand(stores: Stores) -> Finding:
    """0 ≤ reserved ≤ on hand for every article, recomputed from the facts."""
    return at_most(await stores.table("fulfillment", _RESERVED), await stores.table("fulfillment", _ON_HAND))


async def no_backorder_waits_beside_stock(stores: Stores) -> Finding:
    """No order waits for an article of which there is something that nobody holds."""
    rows = await stores.rows(
        "fulfillment", "SELECT sku, backordered, on_hand - reserved FROM stock_levels ORDER BY sku"
    )
    wrong = [f"{sku}: {waiting} wait beside {free}" for sku, waiting, free in rows if waiting > 0 and free > 0]
    return Finding(len(rows), tuple(wrong))


async def shipped_is_at_most_ordered(stores: Stores) -> Finding:
    """Line by line, no more left the house than was ordered."""
    shipped = await stores.table("fulfillment", quantities(facts("fulfillment.Shipped")))
    return at_most(shipped, await stores.table("order", quantities(facts("order.OrderPlaced"))))


async def issued_is_shipped(stores: Stores) -> Finding:
    """What stock gave out for an order is what was shipped of it, article by article."""
    issued = f"""SELECT d->>'order_id', d->>'sku', sum((d->>'quantity')::bigint)::bigint
                 FROM {facts("fulfillment.StockIssued")} f GROUP BY 1, 2"""
    shipped = f"""SELECT d->>'order_id', l->>'sku', sum((l->>'quantity')::bigint)::bigint
                  FROM {facts("fulfillment.Shipped")} f, jsonb_array_elements(d->'lines') l GROUP BY 1, 2"""
    return same(await stores.table("fulfillment", issued), await stores.table("fulfillment", shipped))
