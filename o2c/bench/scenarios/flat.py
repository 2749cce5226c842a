"""Whether an order costs more when the system is older: the same window of orders early and late in one run."""

from o2c.bench.asked import Asked
from o2c.bench.orders import LINES, Mix, generate, ordinary, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.outside.world import World

WINDOW = 3_000
EARLY, LATE = 1_000, 100_000
RATIO_MAX = 1.10
POPULATION = 40_000
"""Customers and articles of so many ordinary orders, the same for the whole run: their histories grow with it."""
CHAIN_MESSAGES = 5_000


async def flat(asked: Asked) -> Outcome:
    """CPU per order and orders per second with 1,000 and with 100,000 orders in the stores."""
    window, mix = asked.orders or WINDOW, ordinary(POPULATION)
    async with rig(asked.options, asked.watch) as stack:
        await _carried(stack, asked, mix, EARLY, 1, f"the first {EARLY:,} orders", new=True)
        early, early_pace = await _window(stack, asked, mix, window, 2, "early")
        filling = LATE - EARLY - window
        filled = await _carried(stack, asked, mix, filling, 3, f"filling up to {LATE:,} orders")
        late, late_pace = await _window(stack, asked, mix, window, 4, "late")
        memory = stack.peak_mb()
    ratio = round(late.cpu_ms_per_order / early.cpu_ms_per_order, 3)
    figures = {
        f"at_{EARLY}_orders": {**early.as_json(), "bare_chain_events_per_second": round(early_pace)},
        f"at_{LATE}_orders": {**late.as_json(), "bare_chain_events_per_second": round(late_pace)},
        "between": filled.as_json(),
        "cpu_ratio": ratio,
        "time_ratio": round(early.orders_per_second / late.orders_per_second, 3),
        "machine_time_ratio": round(early_pace / late_pace, 3),
        "cpu_ms_per_order_by_process": {
            name: {
                "early": round(1000 * early.cpu_seconds[name] / max(early.orders, 1), 3),
                "late": round(1000 * late.cpu_seconds[name] / max(late.orders, 1), 3),
            }
            for name in late.cpu_seconds
        },
        "peak_memory_mb": memory,
    }
    floor = Floor("CPU per order, times that of the early ones", ratio, RATIO_MAX, at_most=True)
    return Outcome(figures, (floor,), early.missing or filled.missing or late.missing)


async def _window(stack: Rig, asked: Asked, mix: Mix, orders: int, seed: int, when: str) -> tuple[Measured, float]:
    """What a window of orders costs, and the bare chain's pace next to it."""
    before = await stack.chain(f"{when}, before", CHAIN_MESSAGES, seed=seed)
    measured = await _carried(stack, asked, mix, orders, seed, f"{when} window")
    after = await stack.chain(f"{when}, after", CHAIN_MESSAGES, seed=seed)
    return measured, 2 / (1 / before + 1 / after)


async def _carried(
    stack: Rig, asked: Asked, mix: Mix, orders: int, seed: int, what: str, *, new: bool = False
) -> Measured:
    """Orders of a seed; the customers register with the first of them."""
    world = World(registered(mix) if new else (), generate(orders, seed=seed, mix=mix), asked.course())
    return await stack.carry(world, what, lines=LINES)
