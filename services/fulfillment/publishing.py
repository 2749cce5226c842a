"""What the world hears of fulfillment. How stocks and orders answer each other stays private."""

from collections.abc import Iterable

from services.fulfillment.domain import fulfillment_state as own
from services.fulfillment.domain import stock
from shared.contracts import fulfillment as public
from shared.eventsourced.publishing import Publishing, Says, same


def _lines(lines: Iterable[own.LineQuantity]) -> tuple[public.LineQuantity, ...]:
    return tuple([public.LineQuantity(line.line_no, line.sku, line.quantity) for line in lines])


def _stock_reserved(fact: own.StockReserved) -> public.StockReserved:
    return public.StockReserved(fact.order_id, fact.customer_id, _lines(fact.lines), fact.complete)


def _backordered(fact: own.Backordered) -> public.Backordered:
    return public.Backordered(fact.order_id, fact.customer_id, _lines(fact.lines))


def _shipped(fact: own.Shipped) -> public.Shipped:
    return public.Shipped(
        shipment_id=fact.shipment_id,
        order_id=fact.order_id,
        customer_id=fact.customer_id,
        lines=_lines(fact.lines),
        shipped_at=fact.shipped_at,
        final=fact.final,
        carrier=fact.carrier,
        tracking=fact.tracking,
    )


def _return_authorized(fact: own.ReturnAuthorized) -> public.ReturnAuthorized:
    return public.ReturnAuthorized(fact.return_id, fact.order_id, fact.customer_id, _lines(fact.lines), fact.reason)


def _return_received(fact: own.ReturnReceived) -> public.ReturnReceived:
    return public.ReturnReceived(
        fact.return_id, fact.order_id, fact.customer_id, _lines(fact.lines), fact.received_at, fact.restocked
    )


SAYS: Publishing = {
    stock.StockReceived: same(public.StockReceived),
    stock.StockAdjusted: same(public.StockAdjusted),
    own.StockReserved: Says(public.StockReserved, _stock_reserved),
    own.Backordered: Says(public.Backordered, _backordered),
    own.ReservationReleased: same(public.ReservationReleased),
    own.CancellationRefused: same(public.CancellationRefused),
    own.Shipped: Says(public.Shipped, _shipped),
    own.Delivered: same(public.Delivered),
    own.ReturnAuthorized: Says(public.ReturnAuthorized, _return_authorized),
    own.ReturnReceived: Says(public.ReturnReceived, _return_received),
}
