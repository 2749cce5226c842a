"""Where the CPU of a process goes: its stacks, sampled from outside by py-spy, sorted into the steps of the engine."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from shared.errors import UnavailableError

SAMPLES_PER_SECOND = 50
STOP_SECONDS_MAX = 30

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("telemetry", ("opentelemetry/", "shared/telemetry", "structlog/")),
    ("relay", ("shared/eventsourced/relay.py",)),
    ("http", ("uvicorn/", "starlette/", "fastapi/", "shared/frame/http.py")),
    ("project", ("shared/eventsourced/rows.py", "/projections.py", "fact_rows", "_rows (shared")),
    ("append", ("shared/eventsourced/writing.py", "_lane (shared")),
    ("load", ("shared/eventsourced/store.py",)),
    ("encode", ("encode_fact (shared",)),
    ("decide", ("shared/eventsourced/work.py",)),
    ("policy", ("/policies.py",)),
    ("decode", ("shared/eventsourced/reading.py", "shared/eventsourced/hearing.py")),
    ("unit of work", ("eventsourced/unit_of_work.py", "eventsourced/deciding.py", "eventsourced/consumer.py")),
    ("fetch", ("aiokafka/",)),
    ("frame", ("faststream/", "fast_depends/", "shared/frame/", "shared/eventsourced/")),
)
"""Step → what a frame of it contains. The first step that matches any frame of a stack has the sample."""

_WAITING = ("Runner.run (asyncio/runners.py", "wait (threading.py", "run (uvloop/__init__.py")
"""Innermost frames of a thread that waits; the event loop's own work in C cannot be told from that."""


def step_of(frames: Iterable[str]) -> str:
    """The step to which a stack belongs; "other" for what has no name here."""
    stack = ";".join(frames)
    return next((step for step, marks in STEPS if any(mark in stack for mark in marks)), "other")


def shares(raw: str) -> dict[str, float]:
    """py-spy's raw format (`frame;frame;… count` a line) → step → its share of all samples that were at work."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not any(mark in frames[-1] for mark in _WAITING):
            counted[step_of(frames)] += int(count)
    total = counted.total()
    return {step: count / total for step, count in counted.items()} if total else {}


@asynccontextmanager
async def sampled(pids: Mapping[str, int], folder: Path) -> AsyncIterator[dict[str, dict[str, float]]]:
    """Sample processes for the length of a block; name → shares of its steps, filled when the block ends.

    UnavailableError when py-spy is not there or may not look into other processes.
    """
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise UnavailableError("py-spy is not installed; it comes with `make dev-environment`")
    found: dict[str, dict[str, float]] = {}
    spies = {name: await _spy(program, pid, folder / f"{name}.raw") for name, pid in pids.items()}
    try:
        yield found
    finally:
        for spy in spies.values():
            if spy.returncode is None:
                spy.send_signal(signal.SIGINT)  # it writes down what it has
        for name, spy in spies.items():
            await asyncio.wait_for(spy.wait(), STOP_SECONDS_MAX)
            raw = folder / f"{name}.raw"
            if not raw.exists():
                raise UnavailableError(f"py-spy could not look into {name}; it needs the right to trace processes")
            found[name] = shares(raw.read_text())


async def _spy(program: Path, pid: int, raw: Path) -> asyncio.subprocess.Process:
    options = ("--pid", str(pid), "--rate", str(SAMPLES_PER_SECOND), "--format", "raw", "--output", str(raw))
    return await asyncio.create_subprocess_exec(
        *(str(program), "record", *options), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
