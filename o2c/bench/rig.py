"""A stack under measure: what a load costs in time and CPU, process by process, beside the bare chain."""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from o2c.addresses import Addresses
from o2c.bench.asked import Watch
from o2c.bench.bare_chain import STAGES, BareChain
from o2c.bench.orders import LINES
from o2c.environment import settings
from o2c.figures import cpu_of_all, peak_mb_of_all, usage_of
from o2c.outside.world import World
from o2c.settling import settled
from o2c.stack import SERVICES, Progress, Stack, StackOptions
from o2c.verify.stores import open_stores
from shared.errors import UnavailableError
from shared.values import Value

SETTLE_SECONDS_MAX = 60.0
ORDERS_PER_SECOND_MIN = 20
"""A machine on which orders take longer than this is not worth measuring: the run ends as not finished."""


class Measured(Value, frozen=True, gc=False):
    """What it cost to carry orders from placed to paid. `cpu_seconds` by process of the stack; the driver is `driver`.

    `seconds`: from the first order sent until the last is paid and all that follows from it is written everywhere.
    `missing`: what was not finished, for people.
    """

    orders: int
    lines: int
    seconds: float
    events: int
    cpu_seconds: Mapping[str, float]
    latencies_ms: list[float]
    missing: str

    @property
    def stack_cpu_seconds(self) -> float:
        """CPU of services, database and broker, without the driver."""
        return sum(seconds for name, seconds in self.cpu_seconds.items() if name != "driver")

    @property
    def cpu_ms_per_order(self) -> float:
        """Milliseconds of the stack's CPU for each order."""
        return 1000 * self.stack_cpu_seconds / max(self.orders, 1)

    @property
    def cpu_ms_per_line(self) -> float:
        """Milliseconds of the stack's CPU for each line of an order."""
        return 1000 * self.stack_cpu_seconds / max(self.lines, 1)

    @property
    def orders_per_second(self) -> float:
        """Orders, placed to paid and projected."""
        return self.orders / self.seconds

    def as_json(self) -> dict[str, Any]:
        """The figures that windows of a run are compared by."""
        return {
            "orders": self.orders,
            "orders_per_second": round(self.orders_per_second, 1),
            "cpu_ms_per_order": round(self.cpu_ms_per_order, 3),
            "driver_cpu_ms_per_order": round(1000 * self.cpu_seconds["driver"] / max(self.orders, 1), 3),
        }


class Rig:
    """A running stack with what is needed to measure it."""

    def __init__(self, stack: Stack, watch: Watch) -> None:
        self.stack, self.watch = stack, watch
        database_prefix = settings().database_prefix
        urls = {name: stack.http_url(name) for name in SERVICES}
        self.where = Addresses(stack.database_url, database_prefix, stack.kafka_servers, urls)

    @property
    def pids(self) -> dict[str, int]:
        """The running processes of the stack by name."""
        return {name: part.pid for name, part in self.stack.snapshot().parts.items() if part.pid is not None}

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by process. The stack's processes are our children: not counted again with us."""
        return {**cpu_of_all(self.pids), "driver": usage_of(os.getpid()).cpu_seconds}

    def peak_mb(self) -> dict[str, float]:
        """Peak memory so far by process, MB of 10⁶ bytes."""
        return peak_mb_of_all(self.pids)

    async def events(self) -> dict[str, int]:
        """Events in each store, counted: numbers that were taken by rolled back work are no events."""
        async with open_stores(self.where.database_of) as stores:
            return {name: (await stores.rows(name, "SELECT count(*) FROM events"))[0][0] for name in SERVICES}

    async def rest(self) -> None:
        """Wait until nothing is under way. UnavailableError if that takes too long."""
        if await settled(self.where.http_urls, seconds_max=SETTLE_SECONDS_MAX) is None:
            raise UnavailableError("the services do not come to rest; see their logs")

    async def carry(
        self,
        world: World,
        what: str,
        *,
        lines: int = LINES,
        begun: Callable[[], None] = lambda: None,
        seconds_max: float = 0.0,
    ) -> Measured:
        """Let the world play its orders to their end; what that cost, with all that followed from the last payment.

        `lines`: how many each order has. `begun` is called when the first order may be sent. `seconds_max`: after so
        long it counts as not finished; 0 for what so many orders may take on a slow machine.
        """
        before: list[tuple[int, dict[str, float]]] = []

        async def prepared() -> None:
            await self.rest()
            before.append((sum((await self.events()).values()), self.cpu()))
            begun()

        total = len(world.plans)
        done = await world.run(
            self.where.kafka_servers,
            seconds_max=seconds_max or 60 + total / ORDERS_PER_SECOND_MIN,
            watch=lambda: self.watch(what, world.progress.finished, total),
            prepared=prepared,
        )
        # Not over before all is journalled and projected, which comes after the last payment is heard of.
        ended = await settled(self.where.http_urls, seconds_max=SETTLE_SECONDS_MAX) or time.monotonic()
        seconds = ended - world.started
        ((events_before, cpu_before),) = before
        cpu = {name: used - cpu_before.get(name, 0.0) for name, used in self.cpu().items()}
        return Measured(
            len(world.progress.completed),
            len(world.progress.completed) * lines,
            seconds,
            sum((await self.events()).values()) - events_before,
            cpu,
            world.progress.latencies_ms(),
            "" if done else world.progress.missing() or "not all was done in time",
        )

    async def chain(self, run: str, messages: int, *, seed: int) -> float:
        """Events per second of the bare chain on the same database server and broker. `run` is new each time."""
        self.watch(f"bare chain, {run}", 0, 0)
        advised = self.stack.broker.advice.get("O2C_KAFKA_PARTITIONS")
        partitions = int(advised or settings().kafka_partitions)  # as many as the services have
        chain = BareChain(self.where.database_url, self.where.kafka_servers, partitions=partitions)
        seconds = await chain.run(run, messages, seed=seed)
        await chain.forget(run)
        return messages * STAGES / seconds


@asynccontextmanager
async def rig(options: StackOptions, watch: Watch) -> AsyncIterator[Rig]:
    """A fresh stack in an emptied home, up for the length of a block. StackError if it does not come up."""
    Stack.wipe(options.home)
    watch("starting the stack", 0, 0)
    ready: Progress = lambda name, seconds: watch(f"{name} ready in {seconds:.1f} s", 0, 0)  # noqa: E731
    async with await Stack.up(options, ready) as stack:
        yield Rig(stack, watch)
