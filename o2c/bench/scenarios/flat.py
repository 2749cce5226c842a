"""Whether an order costs more when the system is older: an old system and a young one carry orders in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from o2c.bench.asked import Asked
from o2c.bench.orders import lasting
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, rig
from o2c.bench.turns import carried, cpu_by_process, cpu_of_stack, in_turns
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
    young, old = (cpu_by_process(measured[age]) for age in ("young", "old"))
    ratio = round(cpu_of_stack(measured["old"]) / max(cpu_of_stack(measured["young"]), 1e-9), 3)
    figures: dict[str, Any] = {
        **{
            f"{age}_turn_{turn}": each.as_json()
            for age, windows in measured.items()
            for turn, each in enumerate(windows, 1)
        },
        "filling": filled.as_json(),
        "cpu_ratio": ratio,
        "cpu_ms_per_order_by_process": {
            name: {"young": round(young[name], 3), "old": round(old[name], 3)} for name in old
        },
        "peak_memory_mb": memory,
    }
    missing = next((each.missing for each in (filled, *measured["young"], *measured["old"]) if each.missing), "")
    return Outcome(figures, (Floor("CPU per order, old : young", ratio, RATIO_MAX, at_most=True),), missing)
