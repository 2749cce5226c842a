"""Figures of a run: percentiles, and what the processes of the stack cost, as the kernel counts it."""

import os
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from shared.values import Value


class Usage(Value, frozen=True, gc=False):
    """What a process has used: CPU seconds (its own and its ended children's), memory at its peak and now in bytes."""

    cpu_seconds: float
    peak_bytes: int
    resident_bytes: int = 0


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0.0 of none."""
    if not sorted_values:
        return 0.0
    return sorted_values[max(0, ceil(percent / 100 * len(sorted_values)) - 1)]


def usage_of(pid: int) -> Usage:
    """What this process has used so far; nothing for one that is gone. Linux only."""
    try:
        # The command's name may hold spaces and parentheses, so fields are counted from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Usage(0.0, 0)
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), _bytes(status, "VmHWM:"), _bytes(status, "VmRSS:"))


def _bytes(status: str, name: str) -> int:
    line = next((line for line in status.splitlines() if line.startswith(name)), f"{name} 0 kB")
    return int(line.split()[1]) * 1024


def tree_usage(pid: int) -> Usage:
    """CPU of a process and all that it started; the memory is the largest of any one of them.

    Shared memory is counted in every process that touches it, so a sum over them would mean nothing.
    """
    parts = [usage_of(each) for each in (pid, *descendants(pid))]
    largest = max(part.resident_bytes for part in parts)
    return Usage(sum(part.cpu_seconds for part in parts), max(part.peak_bytes for part in parts), largest)


def descendants(pid: int) -> list[int]:
    """The running children of a process, and theirs."""
    children: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())  # `glob` fails on a process that ends meanwhile
    except OSError:
        return []
    for task in tasks:
        try:
            children += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # the thread ended while we looked
    return children + [grandchild for child in children for grandchild in descendants(child)]


def cpu_of_all(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of each named process with its children."""
    return {name: tree_usage(pid).cpu_seconds for name, pid in pids.items()}


def peak_mb_of_all(pids: Mapping[str, int]) -> dict[str, float]:
    """Peak memory of each named process (of its largest child, if that is larger), in MB of 10⁶ bytes."""
    return {name: round(tree_usage(pid).peak_bytes / 1e6, 1) for name, pid in pids.items()}


def memory_mb_of_all(pids: Mapping[str, int]) -> dict[str, float]:
    """Memory of each named process now (of its largest child, if that is larger), in MB of 10⁶ bytes."""
    return {name: round(tree_usage(pid).resident_bytes / 1e6, 1) for name, pid in pids.items()}
