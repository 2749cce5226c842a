"""One run of the outside world: it feeds orders in, answers what the system says, and watches until all is done."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from o2c.outside.bank import Bank
from o2c.outside.clerk import Clerk
from o2c.outside.envelope import envelope
from o2c.outside.heard import TOPICS, Invoice, Placed, Received, Reserved, Said, Short, read
from o2c.outside.kafka import Listener, Publisher
from o2c.outside.plan import Kind, kind_of
from o2c.outside.progress import Progress
from o2c.outside.supply import Supply
from o2c.outside.warehouse import Warehouse
from shared.contracts.inbound import Customer, Order, Payment
from shared.contracts.messages import Message

CHUNK = 500
"""Orders that are sent at once, at most."""

LINGER_SECONDS = 0.02
"""Orders that come at a rate are sent so often, unless otherwise said: shops that have many do not send each alone."""


@dataclass(frozen=True)
class Course:
    """How a run goes. `in_flight_max`: orders that are on their way at once; `late_bp`: articles that arrive late.

    `rate`: orders per second that are sent at most, 0 for as fast as `in_flight_max` allows. `reserved_first`: the
    warehouse ships nothing before every order is reserved, so that all of them are open at once. `linger_seconds`:
    everybody sends so often, at most, where orders come at a rate.
    """

    seed: int
    shares: Mapping[Kind, int]
    late_bp: int
    in_flight_max: int
    rate: float = 0.0
    from_beginning: bool = True
    reserved_first: bool = False
    linger_seconds: float = LINGER_SECONDS


async def _nothing_to_prepare() -> None:
    pass


class World:
    """Customers, their orders, and everybody who answers. One object is one run.

    `orders` are sent by this run; those of `elsewhere` are placed by somebody else, and supplied, shipped and paid
    here. `clerk`: who sends payments with a wrong reference to their invoices; without one they wait for ever.
    """

    def __init__(
        self, customers: Sequence[Customer], orders: Iterable[Order], course: Course, elsewhere: Iterable[Order] = ()
    ) -> None:
        self._course = course
        self.orders = tuple(orders)
        expected = (*self.orders, *elsewhere)
        self.plans = {o.order_id: _kind(o, course) for o in expected}
        self.customers = tuple(customers)
        self.progress = Progress(self.plans)
        self._bank = Bank(self.plans)
        self._warehouse = Warehouse(expected)
        self._supply = Supply(expected, seed=course.seed, late_bp=course.late_bp)
        self._reserved: set[str] = set()
        self._kept: list[Message] = []
        self._misdirected: dict[str, tuple[Invoice, Payment]] = {}
        self.clerk: Clerk | None = None
        self.published = 0
        self.started = 0.0

    async def run(
        self,
        servers: str,
        *,
        seconds_max: float,
        watch: Callable[[], None] = lambda: None,
        prepared: Callable[[], Awaitable[None]] = _nothing_to_prepare,
    ) -> bool:
        """Play until every order is in its planned end (True) or the time is over (False).

        `watch` is called after every poll, `prepared` when customers and stock are sent, before the first order.
        Raises UnavailableError if there is no broker or no topics.
        """
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(Publisher(servers))
            listener = Listener(servers)
            stack.push_async_callback(listener.stop)
            partitions = {topic: await publisher.partitions(topic) for topic in TOPICS}
            await listener.start(partitions, from_beginning=self._course.from_beginning)
            await self._prepare(publisher)
            await prepared()
            return await self._play(publisher, listener, seconds_max, watch)

    async def _prepare(self, publisher: Publisher) -> None:
        """Customers and stock, before the first order."""
        await self._say(publisher, [*self.customers, *self._supply.first()])

    async def _play(
        self, publisher: Publisher, listener: Listener, seconds_max: float, watch: Callable[[], None]
    ) -> bool:
        self.started = time.monotonic()
        deadline = self.started + seconds_max
        feeding = asyncio.create_task(self._feed(publisher))
        tasks = [feeding] if self.clerk is None else [feeding, asyncio.create_task(self.clerk.work())]
        try:
            while time.monotonic() < deadline:
                said = read(await listener.poll())
                await self._say(publisher, [answer for s in said for answer in self.hear(s)])
                watch()
                if self._course.rate:  # a poll gathers for the usual time itself
                    await asyncio.sleep(self._course.linger_seconds - LINGER_SECONDS)
                for task in tasks:
                    if task.done():
                        task.result()
                if feeding.done() and self.progress.done:
                    return True
            return False
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, publisher: Publisher) -> None:
        """The orders, as many as may be on their way and no faster than the course says."""
        while self.published < len(self.orders):
            room = min(self._room(), CHUNK)
            if room > 0:
                chunk = self.orders[self.published : self.published + room]
                await self._say(publisher, chunk)
                self.published += len(chunk)
            if room < CHUNK:
                await asyncio.sleep(self._course.linger_seconds if self._course.rate else 0.005)

    def _room(self) -> int:
        room = self._course.in_flight_max - (self.published - self.progress.finished)
        if self._course.rate:
            room = min(room, int((time.monotonic() - self.started) * self._course.rate) - self.published)
        return room

    def hear(self, said: Said[Any]) -> Sequence[Message]:
        """Note the message and give the outside world's answers to it."""
        self.progress.hear(said)
        match said.message:
            case Placed() as order:
                return self._paying(self._bank.placed(order))
            case Invoice() as invoice:
                return self._paying_for(invoice)
            case Received(payment_id=payment_id):
                self._direct(payment_id)
                return ()
            case Reserved(order_id=order_id):
                shipments = self._warehouse.reserved(said)
                return self._shipping(order_id, shipments) if self._course.reserved_first else shipments
            case Short() as short:
                return self._supply.backordered(short)
            case _:
                return ()

    def _shipping(self, order_id: str, shipments: Sequence[Message]) -> Sequence[Message]:
        """Keep shipments until the last order is reserved; then they all leave."""
        if order_id in self.plans:
            self._kept += shipments
            self._reserved.add(order_id)
        if len(self._reserved) < len(self.plans):
            return ()
        leaving, self._kept = self._kept, []
        return leaving

    def _paying_for(self, invoice: Invoice) -> Sequence[Payment]:
        payments = self._paying(self._bank.invoiced(invoice))
        for payment in payments:
            if payment.reference != invoice.number:
                self._misdirected[payment.payment_id] = (invoice, payment)
                if payment.payment_id in self.progress.payments:
                    self._direct(payment.payment_id)
        return payments

    def _direct(self, payment_id: str) -> None:
        """Money that names no invoice was received: the clerk knows which one is meant."""
        found = self._misdirected.pop(payment_id, None)
        if found is not None and self.clerk is not None:
            self.clerk.take(*found)

    def _paying(self, payments: Sequence[Payment]) -> Sequence[Payment]:
        self.progress.sent(payments)
        return payments

    async def _say(self, publisher: Publisher, messages: Iterable[Message]) -> None:
        now = datetime.now(UTC)
        outgoing = [envelope(message, now) for message in messages]
        if outgoing:
            await publisher.publish(outgoing)


def _kind(order: Order, course: Course) -> Kind:
    return Kind.PREPAID if order.prepaid else kind_of(order.order_id, course.seed, course.shares)
