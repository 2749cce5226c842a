"""What the user asked a scenario for; None leaves it to the scenario."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from o2c.outside.plan import ALL_IN_FULL
from o2c.stack import StackOptions

if TYPE_CHECKING:
    from o2c.outside.world import Course

SEED = 1
IN_FLIGHT = 3_000
"""Orders on their way at the peak: fewer make smaller batches that cost more, more only wait longer."""

Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much; (…, 0, 0) for what cannot be counted."""


@dataclass(frozen=True)
class Asked:
    """`orders`: of one measured window; `rate`: orders per second; `minutes`: of load under way."""

    options: StackOptions
    watch: Watch
    orders: int | None = None
    in_flight: int | None = None
    rate: float | None = None
    minutes: float | None = None

    def course(self, *, in_flight: int = IN_FLIGHT, rate: float = 0.0, reserved_first: bool = False) -> "Course":
        """All pay in full and all goods are there; what the user said wins."""
        from o2c.outside.world import Course  # every start of a service would wait for it

        return Course(
            SEED,
            ALL_IN_FULL,
            late_bp=0,
            in_flight_max=self.in_flight or in_flight,
            rate=rate if self.rate is None else self.rate,
            from_beginning=False,
            reserved_first=reserved_first,
        )
