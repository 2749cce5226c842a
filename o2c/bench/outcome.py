"""What a scenario of the bench found: its figures, and which floors they must keep."""

from collections.abc import Mapping
from typing import Any

from shared.values import Value


class Floor(Value, frozen=True, gc=False):
    """One figure beside the bound it shall keep: at least `bound`, or with `at_most` no more than it."""

    figure: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def sentence(self) -> str:
        """The bound, for people."""
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"figure": self.figure, "value": self.value, "bound": self.sentence, "kept": self.kept}


class Outcome(Value, frozen=True, gc=False):
    """The figures of one scenario. `wrong`: why they mean nothing, such as orders that were never paid; "" if sound."""

    figures: Mapping[str, Any]
    floors: tuple[Floor, ...] = ()
    wrong: str = ""

    def as_json(self) -> dict[str, Any]:
        """The report of this scenario."""
        floors = {"floors": [floor.as_json() for floor in self.floors]} if self.floors else {}
        return {**self.figures, **floors, **({"wrong": self.wrong} if self.wrong else {})}
