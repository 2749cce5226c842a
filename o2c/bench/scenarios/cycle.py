"""The whole cycle as fast as it goes, beside the bare chain in the same run."""

from typing import Any

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, rig
from o2c.figures import percentile
from o2c.outside.world import World

ORDERS = 20_000
"""Half a minute. At its beginning and its end not everybody has something to do, for 2 s together."""
ORDERS_PER_SECOND = 300.0
SHARE = 0.30
CHAIN_MESSAGES_MIN = 120_000
"""Of both halves, 5 s each. Fewer would be over before the stages have found their pace: of 10,000 the chain seems a
fifth slower than it is, and our share of it larger; and of 40,000 it is the pace of two moments that counts."""


async def cycle(asked: Asked) -> Outcome:
    """Orders per second from placed to paid, and their share of what the bare chain does on this machine."""
    orders = asked.orders or ORDERS
    world = World(customers(orders), generate(orders, seed=SEED), asked.course())
    half = max(orders, CHAIN_MESSAGES_MIN) // 2
    async with rig(asked.options, asked.watch) as stack:
        # Before and after, since the machine's pace changes from minute to minute.
        before = await stack.chain("before", half, seed=1)
        measured = await stack.carry(world, "paid")
        memory = stack.peak_mb()
        after = await stack.chain("after", half, seed=2)
    return outcome(measured, 2 / (1 / before + 1 / after), memory)


def outcome(measured: Measured, bare_chain: float, memory: dict[str, float]) -> Outcome:
    """The report. `bare_chain`: its events per second; CPU per order is that of the stack, without the driver."""
    events = measured.events / measured.seconds
    share = round(events / bare_chain, 4)
    figures: dict[str, Any] = {
        "orders": measured.orders,
        "orders_per_second": round(measured.orders_per_second, 1),
        "events_per_second": round(events, 1),
        "latency_ms": percentiles(measured.latencies_ms),
        "bare_chain_events_per_second": round(bare_chain, 1),
        "share_of_bare_chain": share,
        "cpu_seconds_per_order": round(measured.cpu_ms_per_order / 1000, 6),
        "peak_memory_mb": memory,
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in measured.cpu_seconds.items()},
    }
    floors = (
        Floor("orders per second", round(measured.orders_per_second, 1), ORDERS_PER_SECOND),
        Floor("share of the bare chain", share, SHARE),
    )
    return Outcome(figures, floors, measured.missing)


def percentiles(sorted_ms: list[float]) -> dict[str, float]:
    """The usual three, of values in ascending order."""
    return {f"p{p}": round(percentile(sorted_ms, p), 1) for p in (50, 95, 99)}
