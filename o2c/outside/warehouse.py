"""The warehouse: it hears what is reserved and ships it. Pure: a message in, shipments out."""

from collections.abc import Iterable
from datetime import timedelta

from o2c.outside.heard import Reserved, Said
from shared.contracts.inbound import Order, Shipment, ShippedLine

HANDLING = timedelta(days=1)


class Warehouse:
    """Ships these orders and no others, in their own time: a day after they were placed, backorders later.

    Shipment ids and instants follow from the reservation alone, so one heard twice ships once.
    """

    def __init__(self, orders: Iterable[Order]) -> None:
        self._expected = {order.order_id: (order.placed_at, order.ship_complete) for order in orders}

    def reserved(self, said: Said[Reserved]) -> list[Shipment]:
        """Ship what was reserved; where everything must go together, only when it is complete."""
        order_id = said.message.order_id
        expected = self._expected.get(order_id)
        if expected is None:
            return []
        placed_at, ship_complete = expected
        if ship_complete and not said.message.complete:
            return []
        version = int(said.id.rpartition("@")[2])
        lines = () if ship_complete else tuple(ShippedLine(line.line_no, line.quantity) for line in said.message.lines)
        # Later reservations of an order have higher versions of its stream, and so leave later.
        shipped_at = placed_at + HANDLING + timedelta(hours=version)
        return [Shipment(f"SHIP-{order_id}-{version}", order_id, shipped_at, lines, carrier="Royal Mail")]
