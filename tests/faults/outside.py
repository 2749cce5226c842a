"""The outside world of the fault suite: it does not give up when the system is away, and starts over when told to."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid5
from zlib import crc32

from aiokafka.errors import KafkaError

from o2c.bench.orders import customers, generate
from o2c.outside.clerk import Clerk
from o2c.outside.heard import Invoice, Said
from o2c.outside.kafka import Publisher
from o2c.outside.plan import DEMO_SHARES
from o2c.outside.world import Course, World
from o2c.services import Services
from services.order.api import ORDER_IDS
from shared.contracts.inbound import Order, Payment
from shared.contracts.messages import Message
from shared.errors import ConflictError, NotFoundError, UnavailableError
from shared.values import evolved
from tests.faults.memory import Memory, RememberingBank, RememberingWarehouse
from tests.faults.refusing import Refusing, WithRefused, is_too_large, with_too_large

IN_FLIGHT_SHARE = 4
"""A quarter of a case's orders is on its way at once: a fault in the middle finds some done and some not begun."""
LATE_BP = 800
_PAUSE_SECONDS = 0.3
TRIES = 40
"""In vain, a quarter of a second after one another: then money waits for more than what comes by itself."""


def orders_of(case: str, number: int, seed: int) -> list[Order]:
    """So many orders of a case, under ids of their own; some prepaid, some invoiced or shipped all at once."""
    orders = generate(number, seed=crc32(f"{case}/{seed}".encode()))
    return [_varied(order, n) for n, order in enumerate(orders)]


def _varied(order: Order, n: int) -> Order:
    match n % 20:
        case 3:
            return evolved(order, prepaid=True)
        case 7:
            return evolved(order, ship_complete=True)
        case 11:
            return evolved(order, invoice_on="confirmation")
        case _:
            return order


class _PatientWorld(World):
    """Sends until it is acknowledged, as shops and banks do: repeats are harmless.

    `forgets`: from when to when was said what the system has forgotten since; nobody acts on that any more. `allowed`:
    how many orders may be sent by now.
    """

    forgets: tuple[datetime, datetime] | None = None
    allowed: Callable[[], float]

    def _room(self) -> int:
        return int(min(super()._room(), self.allowed() - self.published))

    def hear(self, said: Said[Any]) -> Sequence[Message]:
        """Note the message and answer it, unless its speaker has forgotten it."""
        if self.forgets is not None and self.forgets[0] <= said.at <= self.forgets[1]:
            return ()
        return super().hear(said)

    async def _say(self, publisher: Publisher, messages: Iterable[Message]) -> None:
        said = list(messages)
        while True:
            try:
                return await super()._say(publisher, said)
            except (KafkaError, UnavailableError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)


class _PatientClerk(Clerk):
    """Tries again when receivables does not answer, and looks closer at money that waits for long.

    A restored system gives the numbers of forgotten invoices to others: money that names one may have paid another
    invoice of its customer, and the other's money waits for that one.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._tries: Counter[str] = Counter()

    async def _apply(self, invoice: Invoice, payment: Payment) -> bool:
        self._tries[payment.payment_id] += 1
        try:
            if await super()._apply(invoice, payment):
                return True
            return self._tries[payment.payment_id] > TRIES and await self._exchange(invoice, payment)
        except (UnavailableError, NotFoundError, ConflictError):
            return False

    async def _exchange(self, invoice: Invoice, payment: Payment) -> bool:
        """Pay with what is left of the money what is left of its invoice, or the invoice of which just so much is left.

        Whether nothing is left of the money.
        """
        path = f"/accounts/{quote(invoice.customer_id, safe='')}"
        seen, account = await self._services.etag("receivables", path), await self._services.get("receivables", path)
        paid = await self._services.get("receivables", f"/payments/{quote(payment.payment_id, safe='')}")
        rest, due = paid["unapplied_minor"], {item["invoice_id"]: item["open_minor"] for item in account["open_items"]}
        own = invoice.invoice_id if invoice.invoice_id in due else ""
        target = own or next((each for each, open_minor in due.items() if open_minor == rest), "")
        if not target or not rest:
            return not rest
        amount = min(rest, due[target])
        body = {"source_id": payment.payment_id, "invoice_id": target, "amount_minor": amount, "by": self._name}
        await self._services.post("receivables", f"{path}/apply", body=body, seen=seen)
        return bool(amount == rest)


class Outside:
    """Plays the world in the background until every order of the case is in its planned end: paid, or refused.

    The first `posted` of the orders are left to the test, which places them over HTTP, each under its idempotency key
    (`self.posted`: key → order); the others come over Kafka, no more than `rate` of them per second (0: no limit), and
    no more than `allowed` in all.
    """

    def __init__(
        self, orders: list[Order], servers: str, services: Services, *, seed: int, posted: int = 0, rate: float = 0.0
    ) -> None:
        self._servers, self._services, self._seed, self._rate = servers, services, seed, rate
        self._customers = customers(len(orders))
        self._orders = with_too_large(orders[posted:])
        self.posted = {o.order_id: evolved(o, order_id=str(uuid5(ORDER_IDS, o.order_id))) for o in orders[:posted]}
        self.refusing = Refusing(services, self._orders)
        self.allowed: Callable[[], float] = lambda: math.inf
        self._over = asyncio.Event()
        self._memory = Memory()
        self._forgets: tuple[datetime, datetime] | None = None
        self._keeps_sent = False
        self.world = self._new_world(from_beginning=False)
        self.task = asyncio.create_task(self._play())

    def _new_world(self, *, from_beginning: bool) -> World:
        in_flight = max(len(self._orders) // IN_FLIGHT_SHARE, 1)
        course = Course(self._seed, DEMO_SHARES, LATE_BP, in_flight, self._rate, from_beginning)
        to_be_paid = [order for order in self._orders if not is_too_large(order)]
        world = _PatientWorld(self._customers, to_be_paid, course, self.posted.values())
        world.orders = tuple(self._orders)
        world.allowed = lambda: self.allowed()
        world.progress = WithRefused(world.plans, self.refusing)
        world.clerk = _PatientClerk(self._services)
        world._bank = RememberingBank(world.plans, self._memory)
        world._warehouse = RememberingWarehouse((*self._orders, *self.posted.values()), self._memory)
        world.forgets = self._forgets
        if self._keeps_sent:
            world.published = self.world.published
        return world

    @property
    def finished(self) -> int:
        """How many orders are in their planned end."""
        return self.world.progress.finished + len(self.refusing.refused)

    def start_over(self, forgotten_since: datetime | None = None, *, sent: bool = False) -> None:
        """Listen from the beginning, and say everything again: for when the broker has lost what was said.

        `forgotten_since`: all that was said from then until now the system has forgotten. `sent`: the orders that were
        sent are not sent again, since they stand on Kafka; so it is, too, with what was forgotten.
        """
        self._keeps_sent = sent or forgotten_since is not None
        if forgotten_since is not None:
            self._forgets = forgotten_since, datetime.now(UTC)
            self.refusing.begin_again()
        self._over.set()

    async def stop(self) -> None:
        """End it wherever it is."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _play(self) -> None:
        async with asyncio.TaskGroup() as group:
            refusing = group.create_task(self.refusing.work())
            await self._pay()
            refusing.cancel()

    async def _pay(self) -> None:
        while True:
            running = asyncio.create_task(self.world.run(self._servers, seconds_max=1e9))
            over = asyncio.create_task(self._over.wait())
            try:
                await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                over.cancel()
                running.cancel()
                results: list[Any] = await asyncio.gather(running, over, return_exceptions=True)
            if results[0] is True and not self._over.is_set():
                return
            if isinstance(results[0], Exception) and not isinstance(
                results[0], (KafkaError, UnavailableError, OSError, TimeoutError)
            ):
                raise results[0]
            self._over.clear()
            self.world = self._new_world(from_beginning=True)
            await asyncio.sleep(_PAUSE_SECONDS)
