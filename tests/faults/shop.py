"""People at the services' HTTP addresses during a case: they order once, look, and write down whatever goes wrong."""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import httpx
import msgspec

from o2c.services import Services
from shared.contracts.inbound import Order
from shared.errors import UnavailableError

BUYERS, READERS, VIEWERS = 8, 10, 2
SALE_SECONDS = 30.0
"""In so many seconds this share of the orders that are left is placed: 1 - 1/e. They never run out by themselves."""
THINKING_SECONDS_MAX = 4.5
"""How long a reader waits before the next look, at most. Connections are kept for 5 s: they idle and are used again."""
ANSWER_SECONDS_MAX = 30.0
VIEWER_RETRY_SECONDS = 2.0

_AWAY = re.compile(r'(?:class="away">|bad">away</span> <span class="small">|The queue cannot be shown: )([^<]*)')
_SLOW = ("Timeout", "not answer in time", "it took too long", "no answer within")
"""A page waits 3 s for the others, and they wait 2 s for their stores, and they say so when that is not enough, as on
a machine on which six processes start."""

_LISTS = (
    ("order", "/orders"),
    ("credit", "/credit-accounts"),
    ("credit", "/credit-reviews"),
    ("fulfillment", "/stock"),
    ("fulfillment", "/backorders"),
    ("billing", "/invoices"),
    ("receivables", "/open-items"),
    ("receivables", "/unapplied"),
    ("analytics", "/order-cycle"),
)
_PAGES = ("/tower", "/tower/queues/cash", "/tower/queues/backorders", "/tower/queues/credit")


class Shop:
    """`orders`: idempotency key → order. `failed` says of each request without a good answer what became of it.

    No request is made a second time. `taken`: the ids of the orders whose request was answered with 2xx.
    """

    def __init__(self, urls: Mapping[str, str], orders: Mapping[str, Order], random: Random) -> None:
        self._urls, self._random = urls, random
        self._waiting = deque(orders.items())
        self._hurrying = asyncio.Event()
        self._began = time.monotonic()
        self.taken: list[str] = []
        self.failed: list[str] = []
        self.requests: Counter[str] = Counter()
        self._people = [
            *(asyncio.create_task(self._visit(self._buy)) for _ in range(BUYERS)),
            *(asyncio.create_task(self._visit(self._read)) for _ in range(READERS)),
            *(asyncio.create_task(self._visit(self._view)) for _ in range(VIEWERS)),
        ]

    async def close(self) -> None:
        """Have the orders that are left placed at once, and let everybody finish the request that is under way."""
        self._hurrying.set()
        async with asyncio.timeout(2 * ANSWER_SECONDS_MAX):
            await asyncio.gather(*self._people)

    async def stop(self) -> None:
        """End it wherever it is."""
        for person in self._people:
            person.cancel()
        await asyncio.gather(*self._people, return_exceptions=True)

    async def _visit(self, do: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        """With a client of one's own, as shipped: connections are kept for 5 s, and nothing is tried twice."""
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS_MAX) as client:
            await do(client)

    async def _buy(self, client: httpx.AsyncClient) -> None:
        while self._waiting:
            key, order = self._waiting.popleft()
            body = {name: value for name, value in msgspec.to_builtins(order).items() if name in _BODY}
            answer = await self._ask(client, "POST", "order", "/orders", json=body, headers={"Idempotency-Key": key})
            if answer is not None:
                if answer.json()["order_id"] == order.order_id:
                    self.taken.append(order.order_id)
                else:
                    self.failed.append(f"{key} became {answer.text}")
                await self._ask(client, "GET", "order", f"/orders/{order.order_id}")
            await self._pause(BUYERS * SALE_SECONDS / (len(self._waiting) + 1) * self._random.uniform(0, 2))

    async def _read(self, client: httpx.AsyncClient) -> None:
        while not self._hurrying.is_set():
            for service, path in self._random.sample(_LISTS, 3):
                await self._ask(client, "GET", service, path, params={"limit": 20})
            page = await self._ask(client, "GET", "analytics", self._random.choice(_PAGES))
            if page is not None:
                away = [what for what in _AWAY.findall(page.text) if not any(slow in what for slow in _SLOW)]
                self.failed += [f"{self._now} {page.url.path} shows: {what}" for what in away]
            if self.taken:
                await self._ask(client, "GET", "order", f"/orders/{self._random.choice(self.taken)}")
            await self._pause(self._random.uniform(0, THINKING_SECONDS_MAX))

    async def _view(self, client: httpx.AsyncClient) -> None:
        """The live updates: they end when their service stops, and are asked for again a moment later."""
        while not self._hurrying.is_set():
            self.requests["live"] += 1
            try:
                async with client.stream("GET", f"{self._urls['analytics']}/tower/live") as response:
                    if response.status_code != httpx.codes.OK:
                        self.failed.append(f"{self._now} /tower/live: {response.status_code}")
                    async for _ in response.aiter_lines():
                        if self._hurrying.is_set():
                            return
            except httpx.HTTPError as error:
                self.failed.append(f"{self._now} /tower/live: {error!r}")
            await self._pause(VIEWER_RETRY_SECONDS)

    async def _ask(
        self, client: httpx.AsyncClient, method: str, service: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """A good answer, or None: then it is written down what came instead."""
        self.requests[service] += 1
        asked = self._now
        try:
            answer = await client.request(method, self._urls[service] + path, **options)
        except httpx.HTTPError as error:
            self.failed.append(f"{asked}-{self._now} {method} {service}{path}: {error!r}")
            return None
        if not answer.is_success:
            self.failed.append(f"{asked}-{self._now} {method} {service}{path}: {answer.status_code} {answer.text}")
            return None
        return answer

    async def _pause(self, seconds: float) -> None:
        """Until then, or until all shall hurry."""
        hurrying = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait([hurrying], timeout=seconds)
        hurrying.cancel()

    @property
    def _now(self) -> str:
        return f"{time.monotonic() - self._began:.2f}s"


_BODY = frozenset({"customer_id", "currency", "lines", "prepaid", "ship_complete", "invoice_on"})


class WatchedServices(Services):
    """As the operator's commands and the clerk ask; whatever is not answered is written down in `failed`."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        super().__init__(urls)
        self.failed: list[str] = []
        self.requests = 0

    async def _response(self, service: str, method: str, path: str, **options: Any) -> httpx.Response:
        self.requests += 1
        try:
            return await super()._response(service, method, path, **options)
        except UnavailableError as error:
            self.failed.append(f"{method} {service}{path}: {error.message}")
            raise
