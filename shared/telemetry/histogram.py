"""Counting values into buckets, cheap enough for the way of every batch: one search in a short tuple."""

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for steps of a batch and for HTTP: from one index lookup to the longest that anybody waits."""

WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0, 604_800.0)
"""Bounds for what an order waits between its stages: from a hop to a week."""

SIZES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0)
"""Bounds for the number of things in a batch."""


class Histogram:
    """How many values were at most as great as each bound, and their sum. The last count is of those beyond."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, weight: int = 1) -> None:
        """Count a value, or so many equal ones."""
        self.counts[bisect_left(self.bounds, value)] += weight
        self.sum += value * weight

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)
