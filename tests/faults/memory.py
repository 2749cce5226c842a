"""What the outside world still knows when the system has forgotten it: what was shipped and paid stays so."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from o2c.outside.bank import Bank
from o2c.outside.heard import Invoice, Reserved, Said
from o2c.outside.plan import Kind
from o2c.outside.warehouse import Warehouse
from shared.contracts.inbound import Order, Payment, Shipment, ShippedLine
from shared.values import evolved


class Memory:
    """Of a case, whatever becomes of its system: payments by id, shipments by order."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.shipments: defaultdict[str, list[Shipment]] = defaultdict(list)


class RememberingBank(Bank):
    """Pays an invoice once, also when it is issued again under another number."""

    def __init__(self, plans: Mapping[str, Kind], memory: Memory) -> None:
        super().__init__(plans)
        self._paid = memory.payments

    def invoiced(self, invoice: Invoice) -> list[Payment]:
        """As they were first sent."""
        return [self._paid.setdefault(payment.payment_id, payment) for payment in super().invoiced(invoice)]


class RememberingWarehouse(Warehouse):
    """Ships what is reserved and has not left yet, also when it is reserved again, in other parts."""

    def __init__(self, orders: Iterable[Order], memory: Memory) -> None:
        super().__init__(orders)
        self._shipments = memory.shipments
        self._reserved: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._heard: set[str] = set()

    def reserved(self, said: Said[Reserved]) -> list[Shipment]:
        """What has left of the order, said again, and what leaves now."""
        new, order_id = super().reserved(said), said.message.order_id
        if said.id not in self._heard:
            self._heard.add(said.id)
            self._reserved[order_id].update({line.line_no: line.quantity for line in said.message.lines})
            for shipment in new:
                self._ship(shipment)
        return list(self._shipments[order_id]) if new else []

    def _ship(self, shipment: Shipment) -> None:
        left = self._shipments[shipment.order_id]
        if not shipment.lines:  # everything at once, and once
            left.extend([] if left else [shipment])
            return
        shipped = Counter[int]()
        for earlier in left:
            shipped.update({line.line_no: line.quantity for line in earlier.lines})
        rest = self._reserved[shipment.order_id] - shipped
        if rest:
            known = {earlier.shipment_id for earlier in left}
            name = shipment.shipment_id if shipment.shipment_id not in known else f"{shipment.shipment_id}-{len(left)}"
            lines = tuple(ShippedLine(line_no, quantity) for line_no, quantity in sorted(rest.items()))
            left.append(evolved(shipment, shipment_id=name, lines=lines))
