"""What /health/live says: only what a restart would mend is dead; who idles or waits for others is alive.

And /health/ready: who has joined Kafka once answers requests whether or not a broker is there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from shared.errors import UnavailableError
from shared.eventsourced.letters import count_open
from shared.frame import running as frame
from shared.frame import turning
from shared.frame.running import Running
from tests.connected.support_engine import Database, counting_service, counts, eventually, running, send
from tests.engine.records import order_record
from tests.support.brokers import tansu_in

pytestmark = pytest.mark.connected
STILL_SECONDS = 3.0


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "STILL_SECONDS_MAX", STILL_SECONDS)
    monkeypatch.setattr(frame, "SWEEP_SECONDS", 0.1)  # so a broker that went is noticed in a second


async def live(process: Running) -> tuple[int, list[str]]:
    """Status and reasons, as a probe gets them."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}") as client:
        answer = await client.get("/health/live")
        return answer.status_code, answer.json()["dead"]


async def ready(process: Running) -> tuple[int, set[str]]:
    """Status and missing parts, as a probe gets them."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}") as client:
        answer = await client.get("/health/ready")
        assert answer.json()["ready"] == (answer.status_code == 200)
        return answer.status_code, set(answer.json()["missing"])


@asynccontextmanager
async def database_hung(process: Running) -> AsyncIterator[None]:
    """Nobody gets a connection any more, and nothing says so."""
    held = [await process.pool.acquire() for _ in range(process.pool.get_max_size())]
    try:
        yield
    finally:
        for connection in held:
            await process.pool.release(connection)


async def _counted(process: Running, count: int) -> bool:
    return len(await counts(process.pool)) == count


async def test_a_consuming_loop_that_ended_is_dead(database: Database, fresh_broker: Any) -> None:
    async with running(counting_service(), database.settings(await fresh_broker())) as process:
        assert await live(process) == (200, [])
        for task in process.kafka.subscriber.tasks:
            task.cancel()
        await asyncio.wait(process.kafka.subscriber.tasks)
        assert await live(process) == (503, ["consumer loop ended"])


async def test_a_member_whose_group_is_lost_for_good_is_dead(database: Database, fresh_broker: Any) -> None:
    """aiokafka meets an error that it does not know, and joins no more; the loop goes on asking it for records."""
    async with running(counting_service(), database.settings(await fresh_broker())) as process:
        coordinator = process.kafka.taking._coordinator
        coordinator.ensure_coordinator_known = None
        coordinator.request_rejoin()
        status, dead = await eventually(lambda: _dead(process))
        assert (status, dead) == (503, ["consumer loop has left its group for good"])


async def test_a_loop_that_hangs_in_its_batch_is_dead_and_an_idle_one_is_not(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    async with running(counting_service(), database.settings(servers)) as process:
        await asyncio.sleep(STILL_SECONDS + 1)
        assert await live(process) == (200, [])
        async with database_hung(process):
            await send(servers, [order_record(1)])
            status, (dead,) = await eventually(lambda: _dead(process))
            assert (status, dead[:31]) == (503, "consumer loop has not turned fo")
        await eventually(lambda: _is_alive(process))
        assert await _counted(process, 1)


async def _is_alive(process: Running) -> bool:
    return await live(process) == (200, [])


async def _dead(process: Running) -> tuple[int, list[str]] | None:
    said = await live(process)
    return said if said[1] else None


async def test_who_waits_for_kafka_is_alive_idle_or_with_a_batch_to_acknowledge(
    database: Database, stack_home: Path
) -> None:
    broker = tansu_in(stack_home)
    await broker.start()
    try:
        async with running(counting_service(), database.settings(broker.servers)) as process:
            async with database_hung(process):
                await send(broker.servers, [order_record(1)])
                await eventually(lambda: _waits(process))
                await broker.kill()
            await eventually(lambda: _counted(process, 1))  # now it can only be acknowledged
            await eventually(lambda: _says(process, "kafka"))
            for _ in range(4):
                await asyncio.sleep(STILL_SECONDS / 2)
                assert await live(process) == (200, [])
                status, missing = await ready(process)
                assert (status, "kafka" in missing) == (200, True)
            await broker.start()
            await eventually(lambda: _is_ready(process))
    finally:
        await broker.stop()


async def _waits(process: Running) -> bool:
    return process.consumer.tried_at > process.consumer.turned_at


async def _is_ready(process: Running) -> bool:
    return not await process.missing()


async def test_who_has_not_joined_kafka_yet_is_not_ready(database: Database, stack_home: Path) -> None:
    broker = tansu_in(stack_home)
    try:
        async with running(counting_service(), database.settings(broker.servers), ready=False) as process:

            async def has_store() -> bool:
                return process.port != 0 and "store" not in await process.missing()

            await eventually(has_store)
            status, missing = await ready(process)
            assert (status, "kafka" in missing) == (503, True)
            await broker.start()
            await eventually(lambda: _is_ready(process))
            assert await ready(process) == (200, set())
    finally:
        await broker.stop()  # last: clients whose broker has gone would go on asking for it


async def test_who_may_not_log_in_for_a_while_waits_and_parks_nothing(database: Database, fresh_broker: Any) -> None:
    # As when a password was changed and this process does not have the new one yet: the next connection is refused.
    role = f"{database.prefix}late"
    administrator = await asyncpg.connect(database.dsn)
    await administrator.execute(f'CREATE ROLE "{role}" LOGIN SUPERUSER')
    servers = await fresh_broker()
    own = replace(database, server=database.server.replace("postgres@", f"{role}@"))
    try:
        async with running(counting_service(), own.settings(servers)) as process:
            await administrator.execute(f'ALTER ROLE "{role}" NOLOGIN')
            await process.pool.expire_connections()
            await send(servers, [order_record(1)])
            await eventually(lambda: _says(process, "consumer"))
            with pytest.raises(UnavailableError):
                await process.commands.fetch("SELECT 1")
            assert (await ready(process))[0] == 503
            await administrator.execute(f'ALTER ROLE "{role}" LOGIN')
            await eventually(lambda: _counted(process, 1))
            assert await count_open(process.pool) == {}
            await eventually(lambda: _is_ready(process))
    finally:
        await administrator.execute(f'DROP ROLE "{role}"')
        await administrator.close()


async def test_who_waits_for_the_database_is_alive(
    database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    async with running(counting_service(), database.settings(servers)) as process:
        # As if the server refused everybody: what is raised is what asyncpg raises then.
        await process.pool.execute("ALTER TABLE positions RENAME TO away")
        monkeypatch.setattr("shared.eventsourced.consumer.passes", lambda error: True)
        monkeypatch.setattr("shared.eventsourced.faults.passes", lambda error: True)
        await send(servers, [order_record(1)])
        await eventually(lambda: _says(process, "consumer"))
        for _ in range(4):
            await asyncio.sleep(STILL_SECONDS / 2)
            assert await live(process) == (200, [])
        await process.pool.execute("ALTER TABLE away RENAME TO positions")
        await eventually(lambda: _counted(process, 1))
        await eventually(lambda: _is_ready(process))


async def _says(process: Running, part: str) -> bool:
    return part in await process.missing()
