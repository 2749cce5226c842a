"""A service's database restored, under load, from a backup that is older than what the service has heard and said."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from o2c.stack.errors import StackError
from o2c.stack.postgres import quoted
from o2c.verify.engine import every_position_is_reached, every_store_is_the_one_that_spoke
from o2c.verify.stores import open_stores
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
            await until(lambda: _refuses(system, service, "others have heard more"), "its listeners say so")
            run.note("copied file by file, its listeners say so")
        async with open_stores(system.database_of) as stores:
            assert (await every_store_is_the_one_that_spoke(stores)).offending
        await _restore(system, service, backup)  # what it wrote before its listeners spoke up is not to be kept
        output = await system.o2c("restored", service, "--json")
        told = json.loads(output[output.index("{") :])  # what libraries warn of stands before it
        assert told["lost"], "what was said and is forgotten is listed"
        assert "" not in told["lost"], "by its type"
        run.note(f"mended: {sum(told['lost'].values())} messages were said and are forgotten")
        await system.stack.start(service)
        await system.back()
        run.outside.start_over()  # people and shops repeat what they asked for
        await run.reached(1.0)
        await system.o2c("rebuild", "analytics")
        await run.end()


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
async def _started(system: System, service: str) -> AsyncIterator[None]:
    """The service's process for the length of the block, ready or not."""
    starting = asyncio.create_task(system.stack.start(service))
    try:
        yield
    finally:
        await system.stack.stop(service)
        outcome = (await asyncio.gather(starting, return_exceptions=True))[0]
        assert outcome is None or isinstance(outcome, StackError), outcome


async def _events(system: System, service: str) -> int:
    return int((await system.sql(service, "SELECT count(*) FROM events"))[0][0])


async def _refuses(system: System, service: str, why: str) -> bool:
    status = await system.status(service)
    return why in status.get("missing", {}).get("history", "")
