"""Whether an order costs more when the system is older: an old system and a young one carry orders in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from o2c.bench.asked import Asked
from o2c.bench.orders import lasting
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, rig
from o2c.bench.turns import beside, carried, in_turns
from o2c.stack import Stack

WINDOW = 3_000
YOUNG, OLD = 1_000, 100_000
"""Orders in the stores when the first window begins."""
RATIO_MAX = 1.10


async def flat(asked: Asked) -> Outcome:
    """CPU per order and orders per second with 1,000 and with 100,000 orders in the stores."""
    window, mix = asked.orders or WINDOW, lasting()
    beside = replace(asked.options, home=asked.options.home / "young")
    async with rig(asked.options, asked.watch) as old:
        filled = await carried(old, asked, mix, OLD, 1, f"filling up to {OLD:,} orders", new=True)
        async with rig(beside, asked.watch) as young:
            await carried(young, asked, mix, YOUNG, 1, f"the first {YOUNG:,} orders", new=True)
            measured = await in_turns({"young": young, "old": old}, asked, mix, window)
        memory = old.peak_mb()
    Stack.wipe(beside.home)
    return compared(measured, filled, memory)


def compared(measured: Mapping[str, Sequence[Measured]], filled: Measured, memory: Mapping[str, float]) -> Outcome:
    """The windows of both beside each other. `memory`: peak of each process of the old system, MB."""
    figures = {**beside(measured, "old", "young"), "filling": filled.as_json(), "peak_memory_mb": memory}
    missing = next((each.missing for each in (filled, *measured["young"], *measured["old"]) if each.missing), "")
    floor = Floor("CPU per order, old : young", figures["cpu_ratio"], RATIO_MAX, at_most=True)
    return Outcome(figures, (floor,), missing)
