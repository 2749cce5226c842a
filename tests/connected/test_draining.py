"""A process that stops refuses nobody: who has a connection may ask once more, and whoever asked gets the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import APIRouter

from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To
from shared.frame.running import Running
from tests.connected.support_engine import (
    Database,
    eventually,
    running,
)
from tests.engine.toy import AddCoins, jar, toy_service

pytestmark = pytest.mark.connected
NOBODY = "127.0.0.1:1"
"""Requests need the store alone."""
LONG_SECONDS = 200.0
END_SECONDS_MAX = 30.0


def _routes(commands: Commands) -> APIRouter:
    router = APIRouter()

    @router.post("/coins/{order_id}", status_code=201)
    async def add(order_id: str) -> dict[str, int]:
        return {"version": (await commands.execute(To(jar, "C-1", AddCoins("C-1", order_id, 1)))).version}

    return router


@asynccontextmanager
async def _serving(database: Database, **changes: Any) -> AsyncIterator[Running]:
    settings = database.settings(NOBODY, shutdown_seconds=LONG_SECONDS, **changes)
    async with running(toy_service(hears={}, routes=_routes), settings, ready=False) as process:

        async def has_store() -> bool:
            return process.port != 0 and "store" not in await process.missing()

        await eventually(has_store)
        yield process


def _client(process: Running) -> httpx.AsyncClient:
    url = f"http://127.0.0.1:{process.port}"
    return httpx.AsyncClient(
        base_url=url, trust_env=False, timeout=60, limits=httpx.Limits(keepalive_expiry=LONG_SECONDS)
    )


async def _post(client: httpx.AsyncClient, order_id: str) -> tuple[httpx.Response, Any]:
    """The answer, and from which port of ours it was asked for."""
    async with client.stream("POST", f"/coins/{order_id}") as response:
        port = response.extensions["network_stream"].get_extra_info("client_addr")
        await response.aread()
        return response, port


async def _stop(process: Running) -> None:
    """Ask it to, and wait until it says that it does: on a connection of this call's own."""
    process.stop()
    async with _client(process) as probe:

        async def unready() -> bool:
            answer = await probe.get("/health/ready")
            return answer.status_code == 503 and answer.json()["missing"].get("process") == "is stopping"

        await eventually(unready)


async def test_a_connection_that_was_open_brings_one_more_request_and_is_told_that_it_was_the_last(
    database: Database,
) -> None:
    async with _serving(database, http_linger_seconds=60) as process, _client(process) as client:
        before, port = await _post(client, "O-1")
        assert before.status_code == 201
        assert "connection" not in before.headers
        await _stop(process)
        last, same = await _post(client, "O-2")
        assert (last.status_code, last.json()) == (201, {"version": 2})
        assert same == port
        assert last.headers["connection"] == "close"


async def test_requests_under_way_are_carried_out_and_answered(database: Database) -> None:
    async with _serving(database, http_linger_seconds=0) as process, _client(process) as client:
        holder = await asyncpg.connect(database.dsn)
        async with holder.transaction():
            await holder.execute("SELECT lock_store()")
            asked = asyncio.create_task(client.post("/coins/O-1"))
            await eventually(lambda: _waits_for_lock(holder))
            also = asyncio.create_task(client.post("/coins/O-2"))  # waits for the group commit before it
            await eventually(lambda: _under_way(process, 2))
            process.stop()
            await eventually(lambda: _refused(process))
        for answer in (await asked, await also):
            assert answer.status_code == 201
        await holder.close()


async def _waits_for_lock(connection: Any) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE NOT granted AND datname = current_database())"
        )
    )


async def _under_way(process: Running, requests: int) -> bool:
    return process.telemetry.requests.active == requests


async def _refused(process: Running) -> bool:
    """Nobody listens any more."""
    try:
        async with _client(process) as late:
            await late.get("/health/live")
    except httpx.ConnectError:
        return True
    return False


async def test_a_connection_on_which_nothing_comes_does_not_hold_the_process_up(database: Database) -> None:
    async with _serving(database, http_linger_seconds=0.2) as process, _client(process) as client:
        assert (await client.get("/health/live")).status_code == 200
        process.stop()
        await eventually(lambda: _refused(process), END_SECONDS_MAX)
