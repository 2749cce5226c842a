"""How fast Kafka is made anew from the stores, and read tables from the facts."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.outside.world import World
from o2c.services import REBUILD_SECONDS_MAX, Services
from o2c.stack import SERVICES
from shared.contracts.catalogue import SPEAKERS
from shared.errors import UnavailableError

ORDERS = 6_000
REPLAYED_PER_SECOND = 20_000.0
REBUILT_PER_SECOND = 5_000.0
POLL_SECONDS = 0.2
"""Asking for figures costs the services a few milliseconds each."""
SECONDS_MAX = 300.0

OTHERS = (("database", "postgres"), ("broker", "broker"))
"""Whose CPU a rebuild takes beside the service's own."""

Statuses = Mapping[str, Mapping[str, Any]]


async def replay(asked: Asked) -> Outcome:
    """Facts per second that all services say again, as `o2c replay` asks for it, while all listeners are up."""
    async with rig(asked.options, asked.watch) as stack:
        measured = await _filled(stack, asked)
        async with Services(stack.where.http_urls) as services:
            before, cpu = await services.statuses(), stack.cpu()
            speakers = [name for name in SERVICES if name in SPEAKERS]
            heads = {name: before[name]["heads"]["said"] for name in speakers}
            begun = time.monotonic()
            for name in speakers:
                await services.post(name, "/replay")

            def said(now: Statuses) -> dict[str, int]:
                return {n: now[n]["relay"]["sent_again"] - before[n]["relay"]["sent_again"] for n in speakers}

            stack.watch("saying everything again", 0, 0)
            await _until(services, lambda now: all(said(now)[name] >= heads[name] for name in speakers))
            seconds = time.monotonic() - begun
            await stack.rest()
            dropped = time.monotonic() - begun
            again = said(await services.statuses())
        used = {name: round(at_end - cpu[name], 2) for name, at_end in stack.cpu().items()}
    facts = sum(heads.values())
    per_second = round(facts / seconds, 1)
    figures = {
        "facts": facts,
        "seconds": round(seconds, 2),
        "facts_per_second": per_second,
        "seconds_until_listeners_dropped_them": round(dropped, 2),
        "said_again": again,
        "cpu_seconds": used,
    }
    return Outcome(figures, (Floor("replayed facts per second", per_second, REPLAYED_PER_SECOND),), measured.missing)


async def rebuild(asked: Asked) -> Outcome:
    """Facts per second from which all read tables are made anew, one service after the other as `o2c rebuild` does."""
    async with rig(asked.options, asked.watch) as stack:
        measured = await _filled(stack, asked)
        found: dict[str, dict[str, float]] = {}
        async with Services(stack.where.http_urls) as services:
            for name in SERVICES:
                stack.watch(f"rebuilding {name}", 0, 0)
                before = stack.cpu()
                found[name] = await _rebuilt(services, name)
                used = stack.cpu()
                found[name] |= {f"{who}_cpu_s": round(used[of] - before[of], 2) for who, of in (("own", name), *OTHERS)}
                await stack.rest()
    events, seconds = (sum(each[what] for each in found.values()) for what in ("events", "seconds"))
    per_second = round(events / seconds, 1)
    figures = {
        "events": events,
        "seconds": round(seconds, 2),
        "events_per_second": per_second,
        "by_service": {n: {**f, "events_per_second": round(f["events"] / f["seconds"], 1)} for n, f in found.items()},
    }
    return Outcome(figures, (Floor("rebuilt events per second", per_second, REBUILT_PER_SECOND),), measured.missing)


async def _rebuilt(services: Services, name: str) -> dict[str, float]:
    """Events read and seconds taken; for what is made of others' messages, until the last of them is heard again."""
    heard = sum((await services.statuses())[name]["positions"].values())
    begun = time.monotonic()
    answer = await services.post(name, "/rebuild", seconds_max=REBUILD_SECONDS_MAX)
    events = answer["facts"]
    if not events:
        events = heard
        await _until(services, lambda now: sum(now[name]["positions"].values()) >= heard)
    return {"events": events, "seconds": round(time.monotonic() - begun, 2)}


async def _filled(stack: Rig, asked: Asked) -> Measured:
    orders = asked.orders or ORDERS
    world = World(customers(orders), generate(orders, seed=SEED), asked.course())
    measured = await stack.carry(world, "paid, to have facts")
    await stack.rest()
    return measured


async def _until(services: Services, reached: Callable[[Statuses], bool]) -> None:
    """Ask for all figures again and again until this is reached. UnavailableError if it takes too long."""
    until = time.monotonic() + SECONDS_MAX
    while not reached(await services.statuses()):
        if time.monotonic() > until:
            raise UnavailableError(f"it was not done after {SECONDS_MAX:g} s; see the logs")
        await asyncio.sleep(POLL_SECONDS)
