"""Freezing processes: they stand still, and never for longer than whoever froze them lives."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from o2c.bench.freezing import freeze, frozen, wake
from tests.support.waiting import until

FREEZE_AND_WAIT = """
import sys
from o2c.bench.freezing import frozen
with frozen([int(sys.argv[1])]):
    print("frozen", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that does nothing else."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_processes_are_frozen_for_a_block_but_for_those_that_are_woken(sleeper: int) -> None:
    with frozen([sleeper]):
        await until(lambda: stands_still(sleeper))
        wake([sleeper])
        await until(lambda: not stands_still(sleeper))
        freeze([sleeper])
        await until(lambda: stands_still(sleeper))
    await until(lambda: not stands_still(sleeper))


async def test_who_is_frozen_goes_on_when_whoever_froze_it_is_killed(sleeper: int) -> None:
    freezer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FREEZE_AND_WAIT, str(sleeper)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert freezer.stdout is not None
    assert await freezer.stdout.readline() == b"frozen\n"
    await until(lambda: stands_still(sleeper))
    freezer.kill()
    await freezer.wait()
    await until(lambda: not stands_still(sleeper))
