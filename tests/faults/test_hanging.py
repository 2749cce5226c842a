"""Transactions that hang, under load: those of others, and our own in the middle, on either side of the connection."""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from shared.eventsourced.store import COMMAND_SECONDS_MAX
from tests.faults.harness import System, case, until

pytestmark = pytest.mark.faults

LOCKS = {
    "receivables": "LOCK TABLE events IN SHARE MODE",
    "billing": "SELECT lock_store()",
    "credit": "SELECT * FROM positions FOR UPDATE",
}
FROZEN_SECONDS_MAX = 2 * COMMAND_SECONDS_MAX + 15
"""A statement's time-out, as long again for giving it up, and some air."""


@asynccontextmanager
async def _foreign_session(system: System, service: str, statement: str) -> AsyncIterator[None]:
    """Somebody's open transaction on a service's store that has done this and then forgot to commit."""
    connection = await asyncpg.connect(system.database_of(service), timeout=10)
    try:
        await connection.execute("BEGIN")
        await connection.execute(statement)
        yield
    finally:
        connection.terminate()


async def test_locks_that_somebody_else_holds_are_said_and_waited_for(system: System) -> None:
    async with case(system, "locked-out") as run:
        await run.reached(run.random.uniform(0.1, 0.4))
        async with AsyncExitStack() as sessions:
            for service, statement in LOCKS.items():  # against the stream, so that each has something to do
                await sessions.enter_async_context(_foreign_session(system, service, statement))
                await until(lambda name=service: _waits_for_a_lock(system, name), f"{service} waits for a lock")
            run.note("table of receivables, store lock of billing and rows of credit held by others")
            for service in LOCKS:
                await until(lambda name=service: _says(system, name, "LockNotAvailable"), f"{service} says so")
        run.note("let go, after all three had said that they wait")
        await run.end()


async def test_a_connection_frozen_in_a_transaction_is_given_up_and_work_continues_when_it_is_gone(
    system: System,
) -> None:
    async with case(system, "frozen-connection") as run:
        await run.reached(run.random.uniform(0.1, 0.4))
        async with _foreign_session(system, "receivables", "SELECT lock_store()"):
            backend = await until(lambda: _waiting_for_the_store(system, "receivables"), "a batch waits for the lock")
            os.kill(backend, signal.SIGSTOP)
        # The foreign session is gone: the lock is now that of a server process that does not run.
        begun = time.monotonic()
        try:
            await until(lambda: _given_up(system, "receivables"), "the connection is given up", FROZEN_SECONDS_MAX)
            run.note(f"frozen connection given up after {time.monotonic() - begun:.0f} s")
        finally:
            os.kill(backend, signal.SIGCONT)
        await system.back("receivables")
        await run.end()


async def _says(system: System, service: str, what: str) -> bool:
    return what in (await system.status(service)).get("missing", {}).get("consumer", "")


async def _waits_for_a_lock(system: System, service: str) -> bool:
    rows = await system.sql(
        service,
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'o2c' "
        "AND wait_event_type = 'Lock'",
    )
    return bool(rows)


async def _given_up(system: System, service: str) -> bool:
    """Whether the consumer has its thread back and says what is wrong."""
    return bool((await system.status(service)).get("missing", {}).get("consumer"))


async def _waiting_for_the_store(system: System, service: str) -> Any:
    """The server process of a transaction that waits for the store's lock, if there is one."""
    rows = await system.sql(
        service,
        "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND NOT granted "
        "AND objid = 7201926 AND datname = current_database() LIMIT 1",
    )
    return rows[0][0] if rows else 0
