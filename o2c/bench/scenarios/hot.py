"""What is unlike the ordinary order, and what each of its lines costs beside the ordinary one's in the same run."""

from o2c.bench.asked import Asked
from o2c.bench.orders import LINES, Mix, generate, ordinary, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.outside.world import World
from o2c.services import Services

RATIO_MAX = 2.0
ORDINARY_ORDERS = 3_000
OPEN_ORDERS = 10_000
LONG_ORDERS = 24
LONG_LINES = 500
CREDIT_LIMIT_MINOR = 10**12
"""Enough for ten thousand open orders of 400 GBP."""


async def hot_customer(asked: Asked) -> Outcome:
    """One customer with all orders open at once: none is shipped before all are reserved."""
    orders = asked.orders or OPEN_ORDERS
    mix = Mix(("BENCH-HOT",), ordinary(orders).skus)
    async with rig(asked.options, asked.watch) as stack:
        await _customer_with_credit(stack, asked, mix)
        return await _beside_ordinary(stack, asked, mix, orders, reserved_first=True)


async def hot_sku(asked: Asked) -> Outcome:
    """One article in every order."""
    orders = asked.orders or ORDINARY_ORDERS
    usual = ordinary(orders)
    mix = Mix(usual.customer_ids, usual.skus, always="BENCH-HOT")
    async with rig(asked.options, asked.watch) as stack:
        return await _beside_ordinary(stack, asked, mix, orders)


async def long_order(asked: Asked) -> Outcome:
    """Orders of as many lines as an order may have."""
    orders = asked.orders or LONG_ORDERS
    # One order of 500 lines is worth 5,000 to 50,000 GBP: each customer has room for one.
    mix = Mix(
        tuple(f"BENCH-L{n}" for n in range(orders)), tuple(f"BENCH-LS{n}" for n in range(2 * LONG_LINES)), LONG_LINES
    )
    async with rig(asked.options, asked.watch) as stack:
        await _customer_with_credit(stack, asked, mix)
        return await _beside_ordinary(stack, asked, mix, orders)


async def _customer_with_credit(stack: Rig, asked: Asked, mix: Mix) -> None:
    """Register the customers of a mix and give them a limit that they do not reach."""
    world = World(registered(mix), (), asked.course())
    await world.run(stack.where.kafka_servers, seconds_max=1)
    await stack.rest()
    async with Services(stack.where.http_urls) as services:
        for customer_id in mix.customer_ids:
            path = f"/credit-accounts/{customer_id}/limit"
            await services.put("credit", path, body={"limit_minor": CREDIT_LIMIT_MINOR})


async def _beside_ordinary(stack: Rig, asked: Asked, mix: Mix, orders: int, *, reserved_first: bool = False) -> Outcome:
    """Ordinary orders before and after, since the machine's pace changes; the same course for both kinds."""
    course = asked.course(in_flight=max(orders, ORDINARY_ORDERS), reserved_first=reserved_first)
    usual, half = ordinary(ORDINARY_ORDERS), ORDINARY_ORDERS // 2

    async def carried(kind: Mix, number: int, seed: int, what: str) -> Measured:
        return await stack.carry(
            World(registered(kind), generate(number, seed=seed, mix=kind), course), what, lines=kind.lines
        )

    before = await carried(usual, half, 1, "ordinary orders")
    special = await carried(mix, orders, 2, "special orders")
    after = await carried(usual, half, 3, "ordinary orders again")
    return compared(special, before, after, lines=mix.lines)


def compared(special: Measured, before: Measured, after: Measured, *, lines: int) -> Outcome:
    """What a line costs in orders of so many `lines`, beside one of the ordinary orders before and after them."""
    cpu = {"special": special.cpu_ms_per_line, "ordinary": _per_line(before, after, "stack_cpu_seconds")}
    elapsed = {
        "special": 1000 * special.seconds / max(special.lines, 1),
        "ordinary": _per_line(before, after, "seconds"),
    }
    cpu_ratio = round(cpu["special"] / max(cpu["ordinary"], 1e-9), 2)
    elapsed_ratio = round(elapsed["special"] / max(elapsed["ordinary"], 1e-9), 2)
    figures = {
        "orders": special.orders,
        "lines_per_order": lines,
        "ordinary_orders": before.orders + after.orders,
        "ordinary_lines_per_order": LINES,
        "cpu_ms_per_line": {kind: round(ms, 3) for kind, ms in cpu.items()},
        "elapsed_ms_per_line": {kind: round(ms, 3) for kind, ms in elapsed.items()},
        "cpu_ratio": cpu_ratio,
        "elapsed_ratio": elapsed_ratio,
        "cpu_ms_per_line_by_process": {
            name: {
                "special": round(1000 * special.cpu_seconds[name] / max(special.lines, 1), 3),
                "ordinary": round(
                    1000 * (before.cpu_seconds[name] + after.cpu_seconds[name]) / max(before.lines + after.lines, 1), 3
                ),
            }
            for name in special.cpu_seconds
        },
    }
    floors = (
        Floor("CPU per line, times the ordinary", cpu_ratio, RATIO_MAX, at_most=True),
        Floor("time per line, times the ordinary", elapsed_ratio, RATIO_MAX, at_most=True),
    )
    return Outcome(figures, floors, special.missing or before.missing or after.missing)


def _per_line(before: Measured, after: Measured, seconds: str) -> float:
    """Milliseconds a line of both windows together."""
    both: float = getattr(before, seconds) + getattr(after, seconds)
    return 1000 * both / max(before.lines + after.lines, 1)
