"""The suppliers: enough stock for all orders, some of it late, so that backorders happen. Pure."""

from collections import Counter
from collections.abc import Iterable
from zlib import crc32

from o2c.outside.heard import Short
from shared.contracts.inbound import Order, Receipt
from shared.money import BASIS_POINTS


class Supply:
    """Deliveries that add up to the demand of these orders exactly.

    `late_bp`: basis points of the articles of which only half comes at first; the other half comes when the first
    order had to wait for it. The run's name in the receipt ids is made of its orders: the same orders are supplied
    once, however often they are sent.
    """

    def __init__(self, orders: Iterable[Order], *, seed: int, late_bp: int) -> None:
        self._demand: Counter[str] = Counter()
        digest = 0
        for order in orders:
            digest = crc32(order.order_id.encode(), digest)
            for line in order.lines:
                self._demand[line.sku] += line.quantity
        self._run = f"{digest:08x}"
        self._late = {
            sku: demand - demand // 2
            for sku, demand in self._demand.items()
            if crc32(f"{seed}/{sku}".encode()) % BASIS_POINTS < late_bp
        }

    def first(self) -> list[Receipt]:
        """What is there before the orders come. An article of which nothing is there yet has no receipt."""
        receipts = []
        for sku, demand in self._demand.items():
            quantity = demand - self._late.get(sku, 0)
            if quantity:
                receipts.append(Receipt(f"RCP-{self._run}-{sku}-1", sku, quantity))
        return receipts

    def backordered(self, short: Short) -> list[Receipt]:
        """The second halves that this order waits for, each the first time it is asked for."""
        receipts = []
        for sku in {line.sku for line in short.lines}:
            quantity = self._late.pop(sku, 0)
            if quantity:
                receipts.append(Receipt(f"RCP-{self._run}-{sku}-2", sku, quantity))
        return receipts
