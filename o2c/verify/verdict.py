"""What a check found: how much it looked at, and the ids of what breaks the promise."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from shared.values import Value

OFFENDING_MAX = 20
"""More ids than this are counted, not listed."""

K = TypeVar("K")


class Finding(Value, frozen=True, gc=False):
    """The result of one check: `checked` things were looked at, `offending` ones break it.

    What offends is said in the same words for as long as it does not move.
    """

    checked: int
    offending: tuple[str, ...] = ()

    def still(self, later: "Finding") -> "Finding":
        """What a later look finds just as it was."""
        again = set(later.offending)
        return Finding(later.checked, tuple(each for each in self.offending if each in again))


class Check(Value, frozen=True, gc=False):
    """A finding under the name of its check. `tolerated`: what it finds is shown, and breaks nothing."""

    name: str
    ok: bool
    checked: int
    offending: tuple[str, ...]
    tolerated: bool = False


class Verdict(Value, frozen=True, gc=False):
    """All checks of one verification."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise holds, but for those whose breach is tolerated."""
        return all(check.ok or check.tolerated for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report."""
        return {"ok": self.ok, "checks": self.checks}


def check(name: str, finding: Finding, *, tolerated: bool = False) -> Check:
    """Name a finding; of many offending ids the first are kept, and how many more there are."""
    more = len(finding.offending) - OFFENDING_MAX
    shown = finding.offending[:OFFENDING_MAX] + ((f"and {more} more",) if more > 0 else ())
    return Check(name, not finding.offending, finding.checked, shown, tolerated)


def together(findings: Iterable[Finding]) -> Finding:
    """Several findings as one."""
    found = tuple(findings)
    return Finding(sum(f.checked for f in found), tuple(id_ for f in found for id_ in f.offending))


def same(left: Mapping[K, Any], right: Mapping[K, Any]) -> Finding:
    """Both say the same of every key; a key that only one of them has counts as 0 in the other."""
    keys = left.keys() | right.keys()
    wrong = [(key, left.get(key, 0), right.get(key, 0)) for key in keys if left.get(key, 0) != right.get(key, 0)]
    return Finding(len(keys), tuple(sorted(f"{named(key)}: {a} ≠ {b}" for key, a, b in wrong)))


def at_most(parts: Mapping[K, int], wholes: Mapping[K, int]) -> Finding:
    """No part is below zero or more than its whole."""
    wrong = [(key, part, wholes.get(key, 0)) for key, part in parts.items() if not 0 <= part <= wholes.get(key, 0)]
    return Finding(len(parts), tuple(sorted(f"{named(key)}: {part} of {whole}" for key, part, whole in wrong)))


def named(key: object) -> str:
    """A key for people: the parts of a compound one separated by slashes."""
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
