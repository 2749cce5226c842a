"""The embedded PostgreSQL: durable settings, data kept over restart and kill, and errors that say what is wrong."""

import os
import signal
from pathlib import Path

import asyncpg
import pytest

from o2c.stack import Postgres, StackError
from o2c.stack.postgres import ANALYST
from o2c.stack.processes import identity_of
from tests.conftest import CreateDatabase
from tests.support.brokers import postgres_in

pytestmark = pytest.mark.connected


async def _remember(postgres: Postgres, number: int) -> None:
    connection = await asyncpg.connect(f"{postgres.url}/kept")
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
    await connection.execute("INSERT INTO kept VALUES ($1)", number)
    await connection.close()


async def _remembered(postgres: Postgres) -> list[int]:
    connection = await asyncpg.connect(f"{postgres.url}/kept")
    rows = await connection.fetch("SELECT number FROM kept ORDER BY number")
    await connection.close()
    return [row["number"] for row in rows]


async def test_commits_are_durable(postgres: str) -> None:
    connection = await asyncpg.connect(f"{postgres}/postgres")
    try:
        for name, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
            assert await connection.fetchval(f"SHOW {name}") == value
    finally:
        await connection.close()


async def test_data_is_kept_over_restart_and_kill(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    await postgres.start()
    try:
        await postgres.create_databases(["kept"])
        await postgres.create_databases(["kept"])
        await _remember(postgres, 1)
        await postgres.restart()
        await _remember(postgres, 2)
        await postgres.kill()
        assert not postgres.running
        await postgres.start()
        assert await _remembered(postgres) == [1, 2]
    finally:
        await postgres.stop()


async def test_analysts_reach_the_database_that_is_theirs_and_no_other(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    await postgres.start()
    try:
        await postgres.create_databases(["kept", "told"])
        for _ in range(2):  # as with every start
            await postgres.create_analyst("told")
        theirs = postgres.url.replace("postgres@", f"{ANALYST}@")
        connection = await asyncpg.connect(f"{theirs}/told")
        with pytest.raises(asyncpg.PostgresError, match=r"permission denied|read-only"):
            await connection.execute("CREATE TEMPORARY TABLE mine (n int)")
        await connection.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(f"{theirs}/kept")
    finally:
        await postgres.stop()


async def test_a_server_left_by_a_killed_owner_is_ended_first(stack_home: Path) -> None:
    first, second = postgres_in(stack_home), postgres_in(stack_home)
    await first.start()
    try:
        await first.create_databases(["kept"])
        await _remember(first, 1)
        await second.start()
        assert not first.running
        assert await _remembered(second) == [1]
    finally:
        await first.stop()
        await second.stop()


async def test_a_pid_file_that_names_a_foreign_process_is_stale(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    await postgres.start()
    try:
        await postgres.kill()
        pid_file = postgres.data / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        await postgres.start()
        assert identity_of(os.getpid()) is not None
    finally:
        await postgres.stop()


async def test_a_home_that_the_account_cannot_reach_works_too(stack_home: Path) -> None:
    closed = stack_home / "closed"
    closed.mkdir(mode=0o700)
    postgres = postgres_in(closed / "home")
    try:
        await postgres.start()
        await postgres.create_databases(["kept"])
        await _remember(postgres, 1)
        await postgres.restart()
        assert await _remembered(postgres) == [1]
    finally:
        await postgres.stop()
        postgres.wipe()
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root runs the package's own binaries")
async def test_binaries_that_the_account_cannot_reach_are_copied(
    stack_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o2c.stack.postgres._OF_ROOT_BINARIES", stack_home / "binaries")
    monkeypatch.setattr("o2c.stack.postgres._usable", lambda account, binaries: False)
    postgres = postgres_in(stack_home)
    await postgres.start()
    try:
        assert Path(postgres.launch().argv[0]).is_relative_to(stack_home / "binaries")
    finally:
        await postgres.stop()


async def test_a_taken_port_is_an_error_and_not_a_server_that_seems_ready(stack_home: Path, postgres: str) -> None:
    own = postgres_in(stack_home)
    own.port = int(postgres.rpartition(":")[2])
    with pytest.raises(StackError, match=f"another program uses port {own.port}"):
        await own.start()
    assert not own.running


async def test_a_server_that_does_not_start_is_an_error_that_quotes_its_log(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    postgres.configuration = {"shared_buffers": "plenty"}
    with pytest.raises(StackError, match=r"invalid value for parameter .*shared_buffers"):
        await postgres.start()
    assert not postgres.running


async def test_one_that_is_not_ready_in_time_is_an_error_and_does_not_stay(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    await postgres.start()
    await postgres.stop()
    stopped = postgres_in(stack_home)
    stopped.start_seconds_max = 0.2
    # A server that is stopped the moment it is spawned takes no connections.
    stopped.spawned = lambda: os.kill(stopped.identity.pid, signal.SIGSTOP) if stopped.identity else None
    with pytest.raises(StackError, match=r"not ready after 0\.2 s"):
        await stopped.start()
    assert not stopped.running


async def test_statements_are_counted_where_the_extension_is_there(stack_home: Path) -> None:
    postgres = postgres_in(stack_home)
    await postgres.start()
    try:
        connection = await asyncpg.connect(f"{postgres.url}/postgres")
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        await connection.execute("SELECT 1 AS counted")
        query = "SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT $1 AS counted'"
        assert await connection.fetchval(query) == 1
        await connection.close()
    finally:
        await postgres.stop()


async def test_a_fresh_database_is_a_copy_of_its_template(fresh_database: CreateDatabase) -> None:
    template = await fresh_database("template")
    connection = await asyncpg.connect(template)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    copy = await asyncpg.connect(await fresh_database("copy", template=template.rpartition("/")[2]))
    assert await copy.fetchval("SELECT number FROM kept") == 7
    await copy.close()
