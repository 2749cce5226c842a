"""A service's database restored, under load, from a backup that is older than what the service has heard and said."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from o2c.stack import SERVICES
from o2c.stack.errors import StackError
from o2c.stack.postgres import quoted
from o2c.verify.engine import every_position_is_reached, every_store_is_the_one_that_spoke
from o2c.verify.stores import open_stores
from shared.contracts.catalogue import SPEAKERS
from tests.faults.harness import System, case, until

pytestmark = pytest.mark.faults

SERVICE = "credit"
"""As a listener it has three speakers, as a speaker two listeners; of the others docs/restoring.md tells."""


async def test_a_service_restored_from_an_older_backup_writes_nothing_until_its_history_is_mended_and_then_catches_up(
    system: System, on_kafka: None
) -> None:
    service = SERVICE
    async with case(system, f"restored-{service}") as run:
        taken = run.random.uniform(0.2, 0.4)
        await run.reached(taken)
        backup = system.home / f"{service}.backup"
        await _dump(system, service, backup)
        run.note(f"backup of {service} taken")
        await run.reached(taken + 0.3)
        await system.stack.stop(service)
        await _restore(system, service, backup)
        run.note(f"{service} restored from it")
        async with open_stores(system.database_of) as stores:
            assert (await every_position_is_reached(stores)).offending, "others have heard more than the store holds"
        restored = await _events(system, service)
        async with _started(system, service):
            await until(lambda: _refuses(system, service, "is a copy or was restored"), "it says so")
        assert await _events(system, service) == restored
        run.note("started as it is, it says so and writes nothing")
        await _as_if_it_had_always_lived_here(system, service)
        async with _started(system, service):
            await until(lambda: _refuses(system, service, "Kafka has heard more"), "it finds so on its own topic")
        assert await _events(system, service) == restored
        run.note("copied file by file, it finds on its own topic what it has forgotten, and writes nothing")
        async with open_stores(system.database_of) as stores:
            assert (await every_store_is_the_one_that_spoke(stores)).offending
        (told,) = await _mend(system, service)
        assert told["lost"], "what was said and is forgotten is listed"
        assert "" not in told["lost"], "by its type"
        run.note(f"mended: {sum(told['lost'].values())} messages were said and are forgotten")
        await system.stack.start(service)
        await system.back()
        run.outside.start_over()  # people and shops repeat what they asked for
        await run.reached(1.0)
        await system.o2c("rebuild", "analytics")
        await run.end()


async def test_the_whole_server_restored_from_a_snapshot_is_noticed_before_it_writes_and_goes_on_once_it_is_mended(
    system: System, on_kafka: None
) -> None:
    async with case(system, "restored-server") as run:
        taken = run.random.uniform(0.2, 0.4)
        await run.reached(taken)
        snapshot = system.home / "server.snapshot"
        taken_at = await _take(system, snapshot)
        run.note("snapshot of the server's files taken")
        await run.reached(taken + 0.3)
        await asyncio.gather(*(system.stack.stop(service) for service in SERVICES))
        await _put_back(system, snapshot)
        run.note("all services stopped, the files of then put in their place")
        restored = {service: await _events(system, service) for service in SPEAKERS}
        async with _started(system, *SPEAKERS):
            for service in SPEAKERS:
                await until(partial(_refuses, system, service, "Kafka has heard more"), f"{service} says so")
        assert {service: await _events(system, service) for service in SPEAKERS} == restored
        run.note("started as it is, every service says so and writes nothing")
        told = await _mend(system, "--all")
        lost = {each["service"]: each["lost"] for each in told}
        assert all(lost[service] and "" not in lost[service] for service in SPEAKERS), lost
        assert not lost["analytics"]
        run.note(f"mended: {sum(sum(each.values()) for each in lost.values())} messages were said and are forgotten")
        run.outside.start_over(forgotten_since=taken_at)
        for service in SERVICES:
            await system.stack.start(service)
        await system.back()
        await run.reached(1.0)
        await system.o2c("rebuild", "analytics")
        await run.end()


async def _mend(system: System, *arguments: str) -> list[dict[str, Any]]:
    output = await system.o2c("restored", *arguments, "--json")
    services: list[dict[str, Any]] = json.loads(output[output.index("{") :])["services"]  # behind libraries' warnings
    return services


async def _take(system: System, snapshot: Path) -> datetime:
    """The server's files at one instant, which is returned, as by a snapshot of its volume: who starts it recovers as
    after a crash."""
    await system.stack.kill("postgres", restart=False)
    taken_at = datetime.now(UTC)
    await _copy(system.stack.postgres.data, snapshot)
    await system.stack.start("postgres")
    return taken_at


async def _put_back(system: System, snapshot: Path) -> None:
    data = system.stack.postgres.data
    await system.stack.kill("postgres", restart=False)
    await asyncio.to_thread(shutil.rmtree, data)
    await _copy(snapshot, data)
    await system.stack.start("postgres")


async def _copy(source: Path, target: Path) -> None:
    process = await asyncio.create_subprocess_exec("cp", "--archive", source, target)
    assert await process.wait() == 0


async def _dump(system: System, service: str, backup: Path) -> None:
    await _postgres_tool(system, "pg_dump", "--format=custom", f"--file={backup}", system.database_of(service))


async def _restore(system: System, service: str, backup: Path) -> None:
    """Into a new database of the same name, as after a loss."""
    address = system.database_of(service)
    name = quoted(address.rpartition("/")[2])
    await system.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
    await system.sql("postgres", f"CREATE DATABASE {name}")
    await _postgres_tool(system, "pg_restore", f"--dbname={address}", str(backup))


async def _postgres_tool(system: System, tool: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        system.stack.postgres._binaries / tool,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output


async def _as_if_it_had_always_lived_here(system: System, service: str) -> None:
    """What a file system's snapshot brings back knows of no other place."""
    await system.sql(service, "DELETE FROM origin")


@asynccontextmanager
async def _started(system: System, *services: str) -> AsyncIterator[None]:
    """The services' processes for the length of the block, ready or not."""
    starting = [asyncio.create_task(system.stack.start(service)) for service in services]
    try:
        yield
    finally:
        await asyncio.gather(*(system.stack.stop(service) for service in services))
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            assert outcome is None or isinstance(outcome, StackError), outcome


async def _events(system: System, service: str) -> int:
    return int((await system.sql(service, "SELECT count(*) FROM events"))[0][0])


async def _refuses(system: System, service: str, why: str) -> bool:
    status = await system.status(service)
    return why in status.get("missing", {}).get("history", "")
