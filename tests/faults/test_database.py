"""PostgreSQL killed, its connections cut, its disk full, under load."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from o2c.stack.postgres import data_directory, unprivileged_account
from tests.faults.conftest import Shared
from tests.faults.harness import System, case, until
from tests.support.homes import temporary_home

pytestmark = pytest.mark.faults

DISK_MB = 700
"""Enough for the databases of a case and PostgreSQL's journal; small enough to be filled."""
SMALL_JOURNAL = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
CONNECTIONS_CUT = 60


async def test_connections_cut_one_by_one_and_a_server_killed_twice_under_load_lose_and_double_nothing(
    system: System,
) -> None:
    async with case(system, "postgres-killed") as run:
        cut = 0
        async for n in run.moments(CONNECTIONS_CUT):
            if n in (CONNECTIONS_CUT // 3, CONNECTIONS_CUT * 2 // 3):
                await system.stack.kill("postgres")
                run.note("killed PostgreSQL")
                await system.back()
            cut += len(
                await system.sql(
                    "postgres",
                    "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE pid <> "
                    "pg_backend_pid() AND backend_type = 'client backend' ORDER BY (state = 'active') DESC, random() "
                    "LIMIT 1) AS victim",
                )
            )
        run.note(f"cut {cut} connections, busy ones first")
        assert cut > CONNECTIONS_CUT / 2
        await run.end()


@contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    """Mount a file system of limited size there; skip where that is not allowed."""
    directory.mkdir(parents=True)
    options = f"size={DISK_MB}m,mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "o2c-faults", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"file systems cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        account = unprivileged_account()
        if account:
            os.chown(directory, account.uid, account.gid)
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest_asyncio.fixture(loop_scope="session")
async def cramped(shared: Shared) -> AsyncIterator[System]:
    """A system of its own whose database has a small disk."""
    await shared.close()  # two stacks at once would measure each other
    with temporary_home() as home, _small_disk(data_directory(home, unprivileged_account()).parent):
        async with System.up(home, shared.broker, postgres=SMALL_JOURNAL) as system:
            yield system


async def test_a_full_disk_stops_everything_until_there_is_room_again(cramped: System) -> None:
    async with case(cramped, "disk-full") as run:
        await run.reached(run.random.uniform(0.2, 0.4))
        disk = cramped.stack.postgres.data.parent
        ballast = disk / "ballast"
        _fill(disk, ballast)
        run.note("filled the disk")
        await until(lambda: _nobody_writes(cramped), "writing has stopped")
        done = run.outside.finished
        run.note(f"writing stopped at {done} orders")
        ballast.unlink()
        await cramped.back()
        run.note("room again")
        await run.end()


def _fill(disk: Path, ballast: Path) -> None:
    """Take all the room there is, again and again until none is left."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return


async def _nobody_writes(system: System) -> bool:
    """Whether some service says that its store fails it, or the server itself is down."""
    statuses = await system.services.statuses()
    return any("unreachable" in status or status["missing"] for status in statuses.values())
