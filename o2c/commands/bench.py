"""`o2c bench`: the whole cycle under load, beside the bare chain, with what it cost."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from o2c.addresses import Addresses
from o2c.bench.bare_chain import STAGES, BareChain
from o2c.bench.orders import customers, generate
from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run, table
from o2c.commands.stack import BrokerChoice, WithBroker
from o2c.commands.stacking import addresses_of, fresh_stack, pids_of, report_to
from o2c.environment import settings
from o2c.figures import cpu_of_all, peak_mb_of_all, percentile, usage_of
from o2c.outside.plan import ALL_IN_FULL
from o2c.outside.world import Course, World
from o2c.settling import settled
from o2c.stack import SERVICES, StackOptions, default_home
from o2c.verify.stores import open_stores
from shared.errors import UnavailableError
from shared.values import Value

SEED = 1
SETTLE_SECONDS_MAX = 60.0
CHAIN_MESSAGES_MIN = 10_000
"""Fewer would be over before the stages have found their pace."""


class BenchRun(Value, frozen=True, gc=False):
    """What was measured. `cpu_seconds` and `peak_memory_mb` by process of the stack; the driver is `driver`."""

    orders: int
    seconds: float
    events: int
    latencies_ms: list[float]
    chain_events: int
    chain_seconds: float
    cpu_seconds: Mapping[str, float]
    peak_memory_mb: Mapping[str, float]
    missing: str

    def as_json(self) -> dict[str, Any]:
        """The report. CPU per order is that of the stack: services, database and broker, without the driver."""
        events, bare = self.events / self.seconds, self.chain_events / self.chain_seconds
        stack = sum(seconds for name, seconds in self.cpu_seconds.items() if name != "driver")
        return {
            "orders": self.orders,
            "orders_per_second": round(self.orders / self.seconds, 1),
            "events_per_second": round(events, 1),
            "latency_ms": {f"p{p}": round(percentile(self.latencies_ms, p), 1) for p in (50, 95, 99)},
            "bare_chain_events_per_second": round(bare, 1),
            "share_of_bare_chain": round(events / bare, 4),
            "cpu_seconds_per_order": round(stack / max(self.orders, 1), 6),
            "peak_memory_mb": dict(self.peak_memory_mb),
        }


def bench(
    orders: Annotated[int, typer.Option(min=1, help="How many orders of four lines.")] = 3_000,
    in_flight: Annotated[int, typer.Option(min=1, help="Orders on their way at once, at most.")] = 500,
    rate: Annotated[float, typer.Option(min=0, help="Orders per second; 0: as fast as --in-flight allows.")] = 0.0,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the figures there.")] = None,
    broker: WithBroker = BrokerChoice.EMBEDDED,
    as_json: AsJson = False,
) -> None:
    """Measure the whole cycle, placed to paid, and the bare chain in the same run.

    The stack is its own, in a `bench` directory of the home that is emptied first, and ends with the command.
    """
    with explained():
        options = StackOptions(home=default_home() / "bench", broker=broker.value)
    course = Course(SEED, ALL_IN_FULL, late_bp=0, in_flight_max=in_flight, rate=rate, from_beginning=False)
    done = run(lambda: _bench(options, orders, course))
    report_to(report, msgspec.json.format(msgspec.json.encode(done.as_json()), indent=2))
    if as_json:
        print_json(done.as_json())
    else:
        _show(done)
    if done.missing:
        fail(f"not all orders were paid in time: {done.missing}", Exit.WRONG)


async def _bench(options: StackOptions, orders: int, course: Course) -> BenchRun:
    world = World(customers(orders), generate(orders, seed=SEED), course)
    messages = max(orders, CHAIN_MESSAGES_MIN) // 2
    async with fresh_stack(options, keep=False) as state:
        where = addresses_of(state)
        chain = BareChain(where.database_url, where.kafka_servers, partitions=settings().kafka_partitions)
        err.print("bare chain, first half")
        # Before and after, since the machine's pace changes from minute to minute.
        chain_seconds = await chain.run("before", messages, seed=1)
        pids = pids_of(state)
        cpu, events, seconds, missing = await _cycle(world, where, pids)
        memory = peak_mb_of_all(pids)
        err.print("bare chain, second half")
        chain_seconds += await chain.run("after", messages, seed=2)
    progress = world.progress
    return BenchRun(
        len(progress.completed),
        seconds,
        events,
        progress.latencies_ms(),
        2 * messages * STAGES,
        chain_seconds,
        cpu,
        memory,
        missing,
    )


async def _cycle(world: World, where: Addresses, pids: Mapping[str, int]) -> tuple[dict[str, float], int, float, str]:
    """CPU seconds by process, events appended, seconds, and what is missing at the end."""
    before: list[Any] = []

    async def prepared() -> None:
        if not await settled(where.http_urls, seconds_max=SETTLE_SECONDS_MAX):
            raise UnavailableError("the services do not come to rest before the run; see their logs")
        before.append((_cpu(pids), await _events(where)))

    total = len(world.orders)
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as bars:
        paid = bars.add_task("paid", total=total)
        done = await world.run(
            where.kafka_servers,
            seconds_max=60 + total / 20,
            watch=lambda: bars.update(paid, completed=world.progress.finished),
            prepared=prepared,
        )
    seconds = time.monotonic() - world.started
    # What follows from the last payments still belongs to the orders.
    await settled(where.http_urls, seconds_max=SETTLE_SECONDS_MAX)
    (cpu_before, events_before) = before[0]
    cpu = {name: used - cpu_before[name] for name, used in _cpu(pids).items()}
    return cpu, await _events(where) - events_before, seconds, "" if done else world.progress.missing()


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    # The stack's processes are our children: they are counted one by one, and not again with us.
    return {**cpu_of_all(pids), "driver": usage_of(os.getpid()).cpu_seconds}


async def _events(where: Addresses) -> int:
    """Events in all stores, counted: numbers that were taken by rolled back work are no events."""
    async with open_stores(where.database_of) as stores:
        return sum([(await stores.rows(service, "SELECT count(*) FROM events"))[0][0] for service in SERVICES])


def _show(done: BenchRun) -> None:
    figures = done.as_json()
    listing = Table.grid(padding=(0, 2))
    latency = figures["latency_ms"]
    listing.add_row("orders, placed to paid", f"{figures['orders']} in {done.seconds:.1f} s")
    listing.add_row("orders per second", str(figures["orders_per_second"]))
    listing.add_row("events per second", str(figures["events_per_second"]))
    listing.add_row("latency, ms", f"p50 {latency['p50']}   p95 {latency['p95']}   p99 {latency['p99']}")
    listing.add_row("bare chain, events per second", str(figures["bare_chain_events_per_second"]))
    listing.add_row("share of the bare chain", f"{figures['share_of_bare_chain']:.1%}")
    listing.add_row("CPU per order", f"{figures['cpu_seconds_per_order'] * 1000:.2f} ms")
    out.print(listing)
    processes = table("process", "CPU s", "peak MB")
    for name, seconds in done.cpu_seconds.items():
        processes.add_row(name, f"{seconds:.2f}", str(done.peak_memory_mb.get(name, "")))
    out.print(processes)
