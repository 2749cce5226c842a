"""Gapless document numbers: which facts want one, and how it reads. Taken inside the appending transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NumberSeries:
    """How a fact gets its number when it is appended.

    `series(fact)` names the series, for example `INV-2026` (the year is of the issuer's day of issue);
    `numbered(fact, n)` returns the fact with number n, counted 1, 2, 3 … in its series. The decider leaves the
    number empty and `evolve` must be right with the numbered fact. Rolled back work burns no number.
    """

    series: Callable[[Any], str]
    numbered: Callable[[Any, int], Any]
