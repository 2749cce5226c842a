"""All services in memory and the outside world around them: what each hears of some orders, from placed to paid."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from o2c.outside.bank import Bank
from o2c.outside.envelope import envelope
from o2c.outside.heard import Said
from o2c.outside.plan import Kind
from o2c.outside.supply import Supply
from o2c.outside.warehouse import Warehouse
from shared.contracts.billing import Invoiced
from shared.contracts.fulfillment import StockReserved
from shared.contracts.inbound import Customer, Order
from shared.contracts.messages import Message, contract_of
from shared.eventsourced.facts import Recorded
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.service import Service
from tests.engine.records import Record, headers_of
from tests.in_memory import HEARD_AT, InMemory

_encode = msgspec.json.Encoder().encode


class WholeCycle:
    """Carries orders to their end, one message after the other. `heard`: service → its topics, in order."""

    def __init__(self, services: Mapping[str, Service], orders: Sequence[Order]) -> None:
        self._services = {name: InMemory(service) for name, service in services.items()}
        self.heard: dict[str, list[Record]] = {name: [] for name in services}
        self._topics = {
            name: {contract_of(message).topic for message in service.hears} for name, service in services.items()
        }
        self._warehouse, self._bank = Warehouse(orders), Bank({order.order_id: Kind.FULL for order in orders})
        self._supply = Supply(orders, seed=1, late_bp=0)
        self._sequences: Counter[tuple[str, int]] = Counter()
        self._under_way: deque[tuple[Message, Record]] = deque()

    def play(self, customers: Iterable[Customer], orders: Iterable[Order]) -> None:
        """From the first customer until nobody has anything more to say."""
        for message in (*customers, *self._supply.first(), *orders):
            self._from_outside([message])
            self._carry()

    def _carry(self) -> None:
        while self._under_way:
            message, record = self._under_way.popleft()
            for name, service in self._services.items():
                if record.topic in self._topics[name]:
                    self.heard[name].append(record)
                if type(message) in service.service.hears:
                    known = len(service.recorded)
                    service.hear(message)
                    for recorded in service.recorded[known:]:
                        self._said(name, service.service, recorded)

    def _said(self, name: str, service: Service, recorded: Recorded) -> None:
        form = service.says.get(type(recorded.fact))
        if form is None:
            return
        message = form.of(recorded.fact)
        key: str = getattr(message, form.contract.key)
        lane = lane_of(key)
        self._sequences[name, lane] += 1
        headers = headers_of(recorded.id, lane, self._sequences[name, lane], form.contract.name, name)
        record = Record(_encode(message), headers, topic=form.contract.topic, key=key.encode())
        self._under_way.append((message, record))
        self._from_outside(self._answers(recorded.id, message))

    def _answers(self, message_id: str, message: Message) -> Sequence[Message]:
        match message:
            case StockReserved():
                return self._warehouse.reserved(Said(message_id, HEARD_AT, message))
            case Invoiced():
                return self._bank.invoiced(message)
            case _:
                return ()

    def _from_outside(self, messages: Iterable[Any]) -> None:
        for message in messages:
            out = envelope(message, HEARD_AT)
            record = Record(out.value, tuple(out.headers), topic=contract_of(type(message)).topic, key=out.key)
            self._under_way.append((message, record))
