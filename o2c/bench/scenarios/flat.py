"""Whether an order costs more when the system is older: an old system and a young one carry orders in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from o2c.bench.asked import Asked
from o2c.bench.orders import LINES, Mix, generate, lasting, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.outside.world import World
from o2c.stack import Stack

WINDOW = 3_000
YOUNG, OLD = 1_000, 100_000
"""Orders in the stores when the first window begins."""
RATIO_MAX = 1.10
TURNS = ("young", "old", "old", "young", "old", "young", "young", "old")
"""The machine's pace changes by the minute: so it falls on both alike. What the server tidies up now and then, for all
orders before, may fall into any of them: with two turns of each it made one of them a seventh dearer."""


async def flat(asked: Asked) -> Outcome:
    """CPU per order and orders per second with 1,000 and with 100,000 orders in the stores."""
    window, mix = asked.orders or WINDOW, lasting()
    beside = replace(asked.options, home=asked.options.home / "young")
    async with rig(asked.options, asked.watch) as old:
        filled = await _carried(old, asked, mix, OLD, 1, f"filling up to {OLD:,} orders", new=True)
        async with rig(beside, asked.watch) as young:
            stacks = {"young": young, "old": old}
            await _carried(young, asked, mix, YOUNG, 1, f"the first {YOUNG:,} orders", new=True)
            windows = [
                (age, await _carried(stacks[age], asked, mix, window, seed, f"{age}, turn {seed - 1}"))
                for seed, age in enumerate(TURNS, 2)
            ]
        memory = old.peak_mb()
    Stack.wipe(beside.home)
    measured = {age: [each for whose, each in windows if whose == age] for age in stacks}
    return compared(measured, filled, memory)


def compared(measured: Mapping[str, Sequence[Measured]], filled: Measured, memory: Mapping[str, float]) -> Outcome:
    """The windows of both beside each other. `memory`: peak of each process of the old system, MB."""
    young, old = (_by_process(measured[age]) for age in ("young", "old"))
    ratio = round(_of_stack(measured["old"]) / max(_of_stack(measured["young"]), 1e-9), 3)
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


def _by_process(windows: Sequence[Measured]) -> dict[str, float]:
    """Process → milliseconds of its CPU for each order."""
    orders = max(sum(each.orders for each in windows), 1)
    return {name: 1000 * sum(each.cpu_seconds[name] for each in windows) / orders for name in windows[0].cpu_seconds}


def _of_stack(windows: Sequence[Measured]) -> float:
    """Seconds of the stack's CPU for each order."""
    return sum(each.stack_cpu_seconds for each in windows) / max(sum(each.orders for each in windows), 1)


async def _carried(
    stack: Rig, asked: Asked, mix: Mix, orders: int, seed: int, what: str, *, new: bool = False
) -> Measured:
    """Orders of a seed; the customers register with the first of them."""
    world = World(registered(mix) if new else (), generate(orders, seed=seed, mix=mix), asked.course())
    return await stack.carry(world, what, lines=LINES)
