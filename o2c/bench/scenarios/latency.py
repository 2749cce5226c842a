"""How long an order waits when the system is not busy: placed → confirmed, reserved and paid at a fixed rate."""

import time
from datetime import datetime
from typing import Any

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import rig
from o2c.bench.scenarios.cycle import percentiles
from o2c.outside.heard import Confirmed, Paid, Placed, Reserved, Said
from o2c.outside.world import World

ORDERS = 2_000
RATE = 50.0
P50_MS, P99_MS = 150.0, 500.0
"""Until an order is confirmed, and also until its stock is reserved."""


class TimedWorld(World):
    """A world that notes when each order came to each stage."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.said: dict[str, dict[str, datetime]] = {}
        """Order → stage → instant that the fact itself bears."""
        self.heard_confirmed: dict[str, float] = {}
        """Order → instant at which the shop had the confirmation in its hands."""

    def hear(self, said: Said[Any]) -> Any:
        """Note the instants, and answer as every world does."""
        match said.message:
            case Placed() | Confirmed() | Reserved() | Paid():
                stage = type(said.message).__name__.lower()
                order_id = said.message.order_id
                self.said.setdefault(order_id, {}).setdefault(stage, said.at)
                if stage == "confirmed":
                    self.heard_confirmed.setdefault(order_id, time.time())
            case _:
                pass
        return super().hear(said)

    def between_ms(self, first: str, then: str) -> list[float]:
        """Milliseconds from one stage to another of all orders that came to both, shortest first."""
        return sorted(
            1000 * (stages[then] - stages[first]).total_seconds()
            for stages in self.said.values()
            if first in stages and then in stages
        )

    def due_to_heard_ms(self, rate: float) -> list[float]:
        """From the instant at which each order was due to be sent until its confirmation was heard, shortest first.

        Counted from when it was due: a shop that waits for a slow broker does not make the figure look better.
        """
        wall = time.time() - time.monotonic() + self.started
        due = {order.order_id: wall + n / rate for n, order in enumerate(self.orders, 1)}
        return sorted(1000 * (at - due[order_id]) for order_id, at in self.heard_confirmed.items())


async def latency(asked: Asked) -> Outcome:
    """Milliseconds from placed to confirmed, reserved and paid, at a rate far below the peak."""
    orders, rate = asked.orders or ORDERS, asked.rate or RATE
    # As many on their way as there are: nothing may hold back an order that is due.
    course = asked.course(in_flight=orders, rate=rate)
    world = TimedWorld(customers(orders), generate(orders, seed=SEED), course)
    async with rig(asked.options, asked.watch) as stack:
        measured = await stack.carry(world, f"paid, {rate:g} orders/s")
    confirmed = percentiles(world.between_ms("placed", "confirmed"))
    reserved = percentiles(world.between_ms("placed", "reserved"))
    figures = {
        "orders": measured.orders,
        "rate": rate,
        "placed_to_confirmed_ms": confirmed,
        "placed_to_reserved_ms": reserved,
        "placed_to_paid_ms": percentiles(world.between_ms("placed", "paid")),
        "due_to_confirmation_heard_ms": percentiles(world.due_to_heard_ms(rate)),
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in measured.cpu_seconds.items()},
        "seconds": round(measured.seconds, 1),
    }
    floors = tuple(
        Floor(f"placed → {stage} {which}, ms", found[which], bound, at_most=True)
        for stage, found in (("confirmed", confirmed), ("reserved", reserved))
        for which, bound in (("p50", P50_MS), ("p99", P99_MS))
    )
    return Outcome(figures, floors, measured.missing)
