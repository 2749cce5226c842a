"""How long a service takes from process start to ready, with an empty store and with a million events in it."""

import asyncio
import time
from typing import Any

import asyncpg

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Rig, rig
from o2c.outside.world import World
from o2c.services import Services
from o2c.stack import SERVICES
from shared.errors import UnavailableError

ORDERS = 400
"""Real orders whose facts the store is filled with, again and again under other ids."""
EVENTS = 1_000_000
EVENTS_AT_ONCE = 100_000
EMPTY_SECONDS_MAX = 3.0
FULL_SECONDS_MAX = 5.0
HEARS_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05

# Every id of the bench's orders, customers and articles begins with BENCH, in stream names and in facts alike: so each
# copy is a history of its own, whole and readable. Copies are private facts: nobody was told of them.
_COPY = """
INSERT INTO events (originator_id, originator_version, topic, state)
SELECT replace(originator_id, 'BENCH', 'B' || k), originator_version, topic,
       convert_to(replace(convert_from(state, 'UTF8'), 'BENCH', 'B' || k), 'UTF8')
FROM generate_series($1::int, $2::int) AS k CROSS JOIN (
    SELECT * FROM events WHERE notification_id <= $3 ORDER BY notification_id OFFSET 0
) AS original
"""


async def start(asked: Asked) -> Outcome:
    """Seconds to ready of each service alone, and of all together as `o2c up` starts them."""
    async with rig(asked.options, asked.watch) as stack:
        together = {name: round(stack.stack.services[name].started_seconds, 2) for name in SERVICES}
        empty = await _each_alone(stack)
        orders = asked.orders or ORDERS
        world = World(customers(orders), generate(orders, seed=SEED), asked.course())
        measured = await stack.carry(world, "paid, to be copied")
        full = await _each_alone(stack, EVENTS)
        events = await stack.events()
    figures: dict[str, Any] = {
        "seconds_by_service": {
            name: {
                "all_together": together[name],
                "empty": empty[name][0],
                "empty_until_it_hears": empty[name][1],
                "full": full[name][0],
                "full_until_it_hears": full[name][1],
                "events": events[name],
            }
            for name in SERVICES
        },
    }
    slowest_empty, slowest_full = (max(ready for ready, _ in found.values()) for found in (empty, full))
    floors = (
        Floor("slowest start with an empty store, s", slowest_empty, EMPTY_SECONDS_MAX, at_most=True),
        Floor("slowest start with 1,000,000 events, s", slowest_full, FULL_SECONDS_MAX, at_most=True),
    )
    return Outcome(figures, floors, measured.missing)


async def _each_alone(stack: Rig, events: int = 0) -> dict[str, tuple[float, float]]:
    """Stop all services, bring their stores to so many events, and start one after the other."""
    await asyncio.gather(*(stack.stack.stop(name) for name in SERVICES))
    if events:
        stack.watch(f"filling the stores up to {events:,} events", 0, 0)
        await asyncio.gather(*(_fill(stack, name, events) for name in SERVICES))
    return {name: await _started(stack, name) for name in SERVICES}


async def _started(stack: Rig, name: str) -> tuple[float, float]:
    """Seconds from process start to ready, and to the first answer of Kafka about what it hears."""
    stack.watch(f"starting {name}", 0, 0)
    begun = time.monotonic()
    await stack.stack.start(name)
    ready = stack.stack.services[name].started_seconds
    async with Services({name: stack.where.http_urls[name]}) as services:
        while not (await services.statuses())[name].get("lag"):
            if time.monotonic() - begun > HEARS_SECONDS_MAX:
                raise UnavailableError(f"{name} hears nothing after {HEARS_SECONDS_MAX:g} s; see its log")
            await asyncio.sleep(POLL_SECONDS)
    return round(ready, 2), round(time.monotonic() - begun, 2)


async def _fill(stack: Rig, name: str, events: int) -> None:
    """Copy the facts of a store under other ids until it has so many events; analytics has none to copy."""
    connection = await asyncpg.connect(stack.where.database_of(name), command_timeout=600)
    try:
        last = await connection.fetchval("SELECT coalesce(max(notification_id), 0) FROM events")
        there = await connection.fetchval("SELECT count(*) FROM events")
        copies = -(-(events - there) // there) if there else 0
        at_once = max(EVENTS_AT_ONCE // max(there, 1), 1)
        for first in range(1, copies + 1, at_once):
            await connection.execute(_COPY, first, min(first + at_once - 1, copies), last)
            stack.watch(f"filling {name}", min((first + at_once) * there, events), events)
        if copies:
            await connection.execute("UPDATE relay SET cursor = (SELECT max(notification_id) FROM events)")
            await connection.execute("VACUUM ANALYZE events")
    finally:
        await connection.close()
