"""Orders that the system must refuse: far beyond their customer's limit, so that they are held until a person rejects
them."""

import asyncio
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from o2c.outside.heard import Held, Said
from o2c.outside.plan import Kind
from o2c.outside.progress import Progress
from o2c.services import Services
from shared.contracts.inbound import Order
from shared.errors import UnavailableError
from shared.values import evolved

EVERY = 50
"""One order in so many is too large."""
QUANTITY = 1_000_000
_PAUSE_SECONDS = 0.3


def with_too_large(orders: Iterable[Order]) -> list[Order]:
    """The same orders, some of them for a quantity that no limit covers."""
    return [
        evolved(order, lines=(evolved(order.lines[0], quantity=QUANTITY), *order.lines[1:]))
        if n % EVERY == 1
        else order
        for n, order in enumerate(orders)
    ]


def is_too_large(order: Order) -> bool:
    """Whether this order is to be refused."""
    return order.lines[0].quantity == QUANTITY


class Refusing:
    """The person who rejects what is held for being too large, and asks again until an answer says that it is so."""

    def __init__(self, services: Services, orders: Iterable[Order]) -> None:
        self._services = services
        self.order_ids = frozenset(order.order_id for order in orders if is_too_large(order))
        self.refused: set[str] = set()
        self._waiting: set[str] = set()
        self._held: asyncio.Queue[str] = asyncio.Queue()

    @property
    def done(self) -> bool:
        """Whether every order that is too large was refused."""
        return self.refused == self.order_ids

    def hear(self, order_id: str) -> None:
        """This order is held."""
        if order_id in self.order_ids - self.refused:
            self._waiting.add(order_id)
            self._held.put_nowait(order_id)

    def begin_again(self) -> None:
        """The system may have forgotten who was refused, and who is held."""
        self.refused.clear()
        self._waiting.clear()

    async def work(self) -> None:
        """Reject what is held, one after the other, until cancelled."""
        while True:
            order_id = await self._held.get()
            if order_id not in self._waiting:
                continue
            try:
                await self._reject(order_id)
            except (UnavailableError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)
                self._held.put_nowait(order_id)
            else:
                self._waiting.discard(order_id)
                self.refused.add(order_id)

    async def _reject(self, order_id: str) -> None:
        body = {"reasons": ["far beyond the limit"]}
        order = await self._services.post("order", f"/orders/{quote(order_id, safe='')}/reject", body=body)
        assert order["status"] == "rejected", order


class WithRefused(Progress):
    """Progress of a run of which some orders end refused."""

    def __init__(self, plans: Mapping[str, Kind], refusing: Refusing) -> None:
        super().__init__(plans)
        self._refusing = refusing

    def hear(self, said: Said[object]) -> None:
        super().hear(said)
        if isinstance(said.message, Held):
            self._refusing.hear(said.message.order_id)

    @property
    def done(self) -> bool:
        return super().done and self._refusing.done

    def missing(self, limit: int = 5) -> str:
        left = sorted(self._refusing.order_ids - self._refusing.refused)
        return super().missing(limit) + (f"; {len(left)} not refused ({', '.join(left[:limit])})" if left else "")
