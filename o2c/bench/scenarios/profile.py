"""Where each order's CPU goes: by service and step of the engine, sampled from outside while the cycle runs."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from o2c.bench import statements
from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Outcome
from o2c.bench.rig import Rig, rig
from o2c.bench.sampling import STEPS, sampled
from o2c.environment import settings
from o2c.outside.world import World
from o2c.services import Services
from o2c.stack import SERVICES

ORDERS = 6_000
GC = "garbage collection"


async def profile(asked: Asked) -> Outcome:
    """Milliseconds of CPU per order: of each service by step, of PostgreSQL by service and step, and of the rest.

    A step's part of a process's CPU is its part of the samples; the event loop's own work in C is spread over all.
    PostgreSQL's CPU is spread over its statements by the time they took.
    """
    orders = asked.orders or ORDERS
    world = World(customers(orders), generate(orders, seed=SEED), asked.course())
    prefix = settings().database_prefix
    async with rig(asked.options, asked.watch) as stack:
        await stack.rest()
        services = {name: pid for name, pid in stack.pids.items() if name in SERVICES}
        collected = await _collecting(stack)
        async with AsyncExitStack() as sampling:
            steps = await sampling.enter_async_context(sampled(services, asked.options.home))
            await statements.reset(stack.where.database_url)
            measured = await stack.carry(world, "paid")
        in_postgres = await statements.milliseconds(stack.where.database_url, prefix)
        collected = {name: seconds - collected[name] for name, seconds in (await _collecting(stack)).items()}
    per_order = {name: 1000 * seconds / measured.orders for name, seconds in measured.cpu_seconds.items()}
    figures: dict[str, Any] = {
        "orders": measured.orders,
        "cpu_ms_per_order": {name: round(ms, 3) for name, ms in per_order.items()},
        "services_cpu_ms_per_order": table(
            steps, per_order, {name: 1000 * seconds / measured.orders for name, seconds in collected.items()}
        ),
        "postgres_cpu_ms_per_order": of_postgres(in_postgres, per_order["postgres"]),
    }
    return Outcome(figures, (), measured.missing)


async def _collecting(stack: Rig) -> dict[str, float]:
    """Seconds that each service has spent on garbage collection so far."""
    async with Services(stack.where.http_urls) as services:
        return {name: status["gc_seconds"] for name, status in (await services.statuses()).items()}


def table(
    shares: Mapping[str, Mapping[str, float]], cpu_ms: Mapping[str, float], gc_ms: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Step → service → milliseconds; garbage collection is measured by itself and taken out of the others."""
    rows: dict[str, dict[str, float]] = {}
    for step in (*(name for name, _ in STEPS), "other"):
        rows[step] = {
            service: round(of.get(step, 0.0) * (cpu_ms[service] - gc_ms[service]), 3) for service, of in shares.items()
        }
    rows[GC] = {service: round(gc_ms[service], 3) for service in shares}
    rows["all"] = {service: round(cpu_ms[service], 3) for service in shares}
    return {step: row for step, row in rows.items() if any(row.values())}


def of_postgres(spent: Mapping[str, Mapping[str, float]], cpu_ms: float) -> dict[str, dict[str, float]]:
    """Step → service → milliseconds of PostgreSQL's CPU, by the time the statements took."""
    total = sum(ms for steps in spent.values() for ms in steps.values()) or 1.0
    names = dict.fromkeys(step for steps in spent.values() for step in steps)
    services = [name for name in SERVICES if name in spent]
    return {
        step: {service: round(cpu_ms * spent[service].get(step, 0.0) / total, 3) for service in services}
        for step in names
    }
