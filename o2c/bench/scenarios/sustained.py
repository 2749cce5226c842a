"""Whether the system can keep on: minutes of load at 80 % of its own peak, with backlog, lag and memory watched."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import generate, lasting, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.figures import memory_mb_of_all
from o2c.outside.world import World
from o2c.services import Services
from o2c.stack import SERVICES
from shared.contracts.inbound import Customer
from shared.values import Value

MINUTES = 10.0
SHARE_OF_PEAK = 0.8
PEAK_ORDERS = 30_000
"""About a minute: a few seconds are over before a checkpoint, and the machine's pace of a moment is not that of ten
minutes."""
SAMPLE_SECONDS = 5.0
LINGER_SECONDS = 0.1
"""Shop, warehouse and banks that have so much to say send it in batches as large as those of the services: the embedded
broker keeps all of them, and looks through all for each question."""
WARM_UP = 0.1
"""The part of the load that comes before the first samples count: caches fill, statistics are made."""
MEMORY_MB_MAX = 200.0
MEMORY_GROWTH_MAX = 1.25
"""Of any service, from the first third to the last: caches fill up to their bound."""
CARRIED_MIN = 0.97
"""Orders carried per second, of those sent: the last ones take some seconds to their end."""
GROWTH_MAX = 1.5
"""What waits in the last third, times that in the first: at 80 % of the peak it comes and goes."""

SAMPLES_MIN = 0.9
"""Of those that were due: with fewer nobody knows what became of the load."""

MESSAGES_PER_ORDER = 13
"""What the service that hears most hears of an order: less than a second's load that waits is no backlog."""


class Sample(Value, frozen=True, gc=False):
    """One look: orders sent and not yet paid, records that wait for any service, memory of each service in MB."""

    under_way: int
    lag: int
    memory_mb: dict[str, float]


async def sustained(asked: Asked) -> Outcome:
    """Ten minutes at 80 % of the peak that was measured before: orders under way, lag and memory over the time."""
    mix = lasting()
    async with rig(asked.options, asked.watch) as stack:
        customers: Sequence[Customer] = registered(mix)
        peak, rate = None, asked.rate
        if not rate:
            world = World(customers, generate(PEAK_ORDERS, seed=SEED, mix=mix), replace(asked, rate=None).course())
            peak = (await stack.carry(world, "paid, for the peak")).orders_per_second
            customers, rate = (), SHARE_OF_PEAK * peak
        orders = asked.orders or round(rate * 60 * (asked.minutes or MINUTES))
        # Nothing is held back: what the system cannot carry piles up, and is seen.
        course = replace(asked.course(in_flight=orders, rate=rate), linger_seconds=LINGER_SECONDS)
        world = World(customers, generate(orders, seed=SEED + 1, mix=mix), course)
        samples: list[Sample] = []
        sampling: list[asyncio.Task[None]] = []
        begin = lambda: sampling.append(asyncio.create_task(_watch(stack, world, samples)))  # noqa: E731
        try:
            measured = await stack.carry(world, f"paid, at {rate:.0f} orders/s", begun=begin)
        finally:
            for task in sampling:
                task.cancel()
            await asyncio.gather(*sampling, return_exceptions=True)
    return judged(measured, samples, peak, rate, samples_due=orders / rate / SAMPLE_SECONDS)


async def _watch(stack: Rig, world: World, samples: list[Sample]) -> None:
    """Look again and again for as long as orders are sent; a look at which a service does not answer is none."""
    pids = {name: pid for name, pid in stack.pids.items() if name in SERVICES}
    async with Services(stack.where.http_urls) as services:
        due = time.monotonic()
        while world.published < len(world.orders):
            statuses = (await services.statuses()).values()
            if all("lag" in status for status in statuses):
                lag = max(sum(status["lag"].values()) for status in statuses)
                samples.append(Sample(world.published - world.progress.finished, lag, memory_mb_of_all(pids)))
            due += SAMPLE_SECONDS
            await asyncio.sleep(max(due - time.monotonic(), 0.0))


def parts_of(samples: Sequence[Sample]) -> dict[str, Sequence[Sample]]:
    """The samples after the warm-up, in thirds."""
    counted = samples[int(len(samples) * WARM_UP) :]
    third = max(len(counted) // 3, 1)
    return {"start": counted[:third], "middle": counted[-2 * third :][:third], "end": counted[-third:]}


def judged(
    measured: Measured, samples: Sequence[Sample], peak: float | None, rate: float, *, samples_due: float
) -> Outcome:
    """The report. `peak`: orders per second, None if it was not measured; `samples_due`: how many there should be."""
    parts = parts_of(samples)
    under_way = {when: _mean([s.under_way for s in part]) for when, part in parts.items()}
    lag = {when: _mean([s.lag for s in part]) for when, part in parts.items()}
    memory = {
        name: {when: _mean([s.memory_mb[name] for s in part]) for when, part in parts.items()} for name in SERVICES
    }
    largest = max((max(s.memory_mb.values()) for s in samples), default=0.0)
    figures: dict[str, Any] = {
        **({} if peak is None else {"peak_orders_per_second": round(peak, 1)}),
        "rate": round(rate, 1),
        **measured.as_json(),
        "seconds": round(measured.seconds, 1),
        "samples": len(samples),
        "orders_under_way": {**under_way, "max": max((s.under_way for s in samples), default=0)},
        "lag_of_the_slowest_service": lag,
        "memory_mb": memory,
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in measured.cpu_seconds.items()},
    }
    piled_up, behind = growth(under_way, rate), growth(lag, MESSAGES_PER_ORDER * rate)
    floors = (
        Floor("orders under way later, times those at the start", piled_up, GROWTH_MAX, at_most=True),
        Floor("lag of the slowest service later, times that at the start", behind, GROWTH_MAX, at_most=True),
        Floor("orders carried, of those sent per second", round(measured.orders_per_second / rate, 3), CARRIED_MIN),
        Floor("memory of the largest service, MB", round(largest, 1), MEMORY_MB_MAX, at_most=True),
        Floor("memory of a service at the end, times the start's", _grown(memory), MEMORY_GROWTH_MAX, at_most=True),
    )
    few = len(samples) < SAMPLES_MIN * samples_due
    return Outcome(
        figures, floors, measured.missing or (f"only {len(samples)} looks of {samples_due:.0f}" if few else "")
    )


def growth(waiting: Mapping[str, float], a_second: float) -> float:
    """The middle or the last third's, whichever is more, times the first's or a second's load, whichever is more."""
    return round(max(waiting["middle"], waiting["end"]) / max(waiting["start"], a_second), 2)


def _grown(memory: Mapping[str, Mapping[str, float]]) -> float:
    """The last third's, times the first's, of the service that has grown most."""
    return round(max(mb["end"] / mb["start"] if mb["start"] else 0.0 for mb in memory.values()), 2)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(len(values), 1), 1)
