"""Two systems that carry orders in turns: the machine's pace changes by the minute, and so it falls on both alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from o2c.bench.asked import Asked
from o2c.bench.orders import LINES, Mix, generate, registered
from o2c.bench.rig import Measured, Rig
from o2c.outside.world import World

TURNS = (0, 1, 1, 0, 1, 0, 0, 1)
"""What the server tidies up now and then, for all orders before, may fall into any of them: with two turns of each it
made one of them a seventh dearer."""
_SEED_OF_TURNS = 2


async def in_turns(stacks: Mapping[str, Rig], asked: Asked, mix: Mix, orders: int) -> dict[str, list[Measured]]:
    """What it cost each of two systems, by its name, to carry so many orders in each of its turns."""
    names = list(stacks)
    measured: dict[str, list[Measured]] = {name: [] for name in names}
    for number, turn in enumerate(TURNS):
        name, seed = names[turn], _SEED_OF_TURNS + number
        measured[name].append(
            await carried(stacks[name], asked, mix, orders, seed, f"{name}, turn {len(measured[name]) + 1}")
        )
    return measured


async def carried(
    stack: Rig, asked: Asked, mix: Mix, orders: int, seed: int, what: str, *, new: bool = False
) -> Measured:
    """Orders of a seed; the customers register with the first of them (`new`)."""
    world = World(registered(mix) if new else (), generate(orders, seed=seed, mix=mix), asked.course())
    return await stack.carry(world, what, lines=LINES)


def beside(measured: Mapping[str, Sequence[Measured]], one: str, other: str) -> dict[str, Any]:
    """The figures of both systems' turns; `cpu_ratio`: CPU per order of `one`, times that of the other."""
    by_process = {name: cpu_by_process(windows) for name, windows in measured.items()}
    ratio = cpu_of_stack(measured[one]) / max(cpu_of_stack(measured[other]), 1e-9)
    return {
        **{f"{name}_turn_{n}": each.as_json() for name, of in measured.items() for n, each in enumerate(of, 1)},
        "cpu_ratio": round(ratio, 3),
        "cpu_ms_per_order_by_process": {
            process: {name: round(cpu[process], 3) for name, cpu in by_process.items()} for process in by_process[one]
        },
    }


def cpu_of_stack(windows: Sequence[Measured]) -> float:
    """Milliseconds of the stack's CPU for each order, without the driver."""
    return 1000 * sum(each.stack_cpu_seconds for each in windows) / max(sum(each.orders for each in windows), 1)


def cpu_by_process(windows: Sequence[Measured]) -> dict[str, float]:
    """Process → milliseconds of its CPU for each order."""
    orders = max(sum(each.orders for each in windows), 1)
    return {name: 1000 * sum(each.cpu_seconds[name] for each in windows) / orders for name in windows[0].cpu_seconds}
