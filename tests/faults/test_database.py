"""PostgreSQL killed, its connections cut, its disk full, under load."""

import asyncio
import os
import subprocess
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import asyncpg
import pytest
import pytest_asyncio

from o2c.stack import SERVICES
from o2c.stack.postgres import data_directory, unprivileged_account
from tests.faults.conftest import Shared
from tests.faults.harness import System, case, until
from tests.support.homes import temporary_home

pytestmark = pytest.mark.faults

DISK_MB = 700
"""Enough for the databases of a case and PostgreSQL's journal; small enough to be filled."""
JOURNAL = {"max_wal_size": "256MB", "min_wal_size": "256MB"}
"""Segments of the journal that are not needed any more are kept for later, up to so much."""
SEGMENTS = 16
FULL_SECONDS = 5.0
NO_ROOM = "No space left on device"
NO_MOUNT = "O2C_NO_MOUNT"
"""Says, by "1", that no file system can be mounted on this machine: then a full disk is left out with a warning."""
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
    """Mount a file system of limited size there; where that is refused, see `_no_small_disk`."""
    directory.mkdir(parents=True)
    options = f"size={DISK_MB}m,mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "o2c-faults", directory], capture_output=True)
    if mounted.returncode:
        _no_small_disk(mounted.stderr.decode().strip())
    try:
        account = unprivileged_account()
        if account:
            os.chown(directory, account.uid, account.gid)
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def _no_small_disk(refusal: str) -> NoReturn:
    """Fail where nothing may be left out, unless it was said that nobody lets us mount there; else skip."""
    required = os.environ.get("O2C_REQUIRE_KAFKA") == "1"
    if required and os.environ.get(NO_MOUNT) != "1":
        pytest.fail(
            f"a full disk cannot be shown, as a small one cannot be mounted ({NO_MOUNT}=1 allows it): {refusal}"
        )
    if required:
        warnings.warn(f"A FULL DISK IS NOT TESTED, for {NO_MOUNT}=1: {refusal}", stacklevel=2)
    pytest.skip(f"file systems cannot be mounted here: {refusal}")


@pytest_asyncio.fixture(loop_scope="session")
async def cramped(shared: Shared) -> AsyncIterator[System]:
    """A system of its own whose database has a small disk."""
    await shared.close()  # two stacks at once would measure each other
    with temporary_home() as home, _small_disk(data_directory(home, unprivileged_account()).parent):
        async with System.up(home, shared.broker, postgres=JOURNAL) as system:
            yield system


async def test_a_full_disk_stops_everything_until_there_is_room_again(cramped: System) -> None:
    async with case(cramped, "disk-full") as run:
        await run.reached(run.random.uniform(0.2, 0.4))
        processes = {name: cramped.pid(name) for name in SERVICES}
        ballast = cramped.stack.postgres.data.parent / "ballast"
        await _keep_journal(cramped)  # as with a volume of its own: the tables have no room, and the server stays up
        _fill(ballast)
        run.note("filled the disk")
        await until(lambda: _logged(cramped, "ERROR"), "PostgreSQL says that there is no room")
        await until(lambda: _stands_still(cramped, ballast), "nothing is written any more")
        assert run.outside.finished < run.orders, "there was something left to write"
        said = await until(lambda: _who_says_so(cramped), "services say that there is no room")
        run.note(f"{await _stored(cramped)} facts, and none more for {FULL_SECONDS:g} s; {'+'.join(said)} said so")
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await cramped.sql("postgres", "CHECKPOINT")
        await until(lambda: _logged(cramped, "PANIC"), "the server falls of a checkpoint that has no room")
        run.note("a checkpoint made the server fall")
        ballast.unlink()
        await cramped.back()
        assert {name: cramped.pid(name) for name in SERVICES} == processes, "no service has died of it"
        run.note("room again")
        await run.end()


async def _keep_journal(system: System) -> None:
    """Have the server keep as much journal as it may: what is written over needs no room."""
    for _ in range(SEGMENTS):
        await system.sql("postgres", "SELECT pg_logical_emit_message(true, 'o2c', 'something'), pg_switch_wal()")
    await system.sql("postgres", "CHECKPOINT")


def _fill(ballast: Path) -> None:
    """Take all the room there is, down to the last bytes."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 512):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


async def _stands_still(system: System, ballast: Path) -> bool:
    """Whether no fact was stored for a while; what room was found since the disk was filled is taken before."""
    _fill(ballast)
    stored = await _stored(system)
    await asyncio.sleep(FULL_SECONDS)  # the fault itself is a length of time
    return await _stored(system) == stored


async def _stored(system: System) -> int:
    """How many facts there are in all stores."""
    return sum([(await system.sql(name, "SELECT count(*) FROM events"))[0][0] for name in SERVICES])


async def _logged(system: System, level: str) -> bool:
    """Whether PostgreSQL has logged, at this level, that there is no room."""
    lines = system.stack.postgres.log.read_text().splitlines()
    return any(f"{level}:" in line and NO_ROOM in line for line in lines)


async def _who_says_so(system: System) -> list[str]:
    """The services that say of themselves that there is no room."""
    missing = {name: status.get("missing", {}) for name, status in (await system.services.statuses()).items()}
    return [name for name, faults in missing.items() if any(NO_ROOM in fault for fault in faults.values())]
