"""Figures as SVG geometry: numbers in, rectangles out; drawn by the templates, so that no script is needed."""

from collections.abc import Sequence
from typing import NamedTuple


class Bar(NamedTuple):
    """A rectangle in the units of the drawing, and the value it stands for."""

    x: float
    y: float
    width: float
    height: float
    value: float


def columns(values: Sequence[float], width: float, height: float, gap: float = 1.0) -> list[Bar]:
    """Upright bars side by side; the highest fills the height, and what is more than 0 can be seen."""
    step = width / max(len(values), 1)
    top = nice_top(max(values, default=0))
    return [
        Bar(
            round(at * step, 2),
            round(height - tall, 2),
            round(step - gap, 2),
            round(tall, 2),
            value,
        )
        for at, value in enumerate(values)
        for tall in [max(height * value / top, 1.5) if value > 0 else 0.0]
    ]


def nice_top(value: float) -> int:
    """The end of an axis: 1, 2 or 5 times a power of ten, at least 5 and not below the value."""
    tens = (10**power for power in range(20))
    return next((top for ten in tens for top in (ten, 2 * ten, 5 * ten) if top >= max(value, 5)), 10**20)


def stacked(parts: Sequence[int], width: float) -> list[Bar]:
    """Parts of a whole side by side, over the width; nothing for parts that are not positive."""
    whole = sum(part for part in parts if part > 0)
    bars, x = [], 0.0
    for part in parts:
        wide = width * part / whole if part > 0 else 0.0
        bars.append(Bar(round(x, 2), 0, round(wide, 2), 1, part))
        x += wide
    return bars
