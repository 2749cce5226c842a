"""Fixtures of the connected tests: one PostgreSQL and one broker per run, real ones, and databases of one's own."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings

from shared.eventsourced.migrating import migrate
from shared.eventsourced.publishing import LANES
from shared.eventsourced.service import Service
from shared.eventsourced.store import connect_pool
from tests.connected.support_engine import SERVICE, CreateToyDatabase, Database, OpenReplica, Replica, create
from tests.engine.toy import toy_service
from tests.support.brokers import (
    Choice,
    NoKafkaError,
    choose_broker,
    choose_postgres,
    empty_broker,
    running_broker,
    running_postgres,
)
from tests.support.databases import create_database, drop_database
from tests.support.examples import USUAL
from tests.support.homes import complaints, temporary_home

# How fast a machine is at the moment is no property of the code: no deadlines.
settings.register_profile("whole", deadline=None, max_examples=USUAL)
settings.register_profile("check", deadline=None, max_examples=USUAL // 5)
settings.load_profile("whole")  # unless pytest is given --hypothesis-profile

_CHOICE = pytest.StashKey[Choice]()

CreateDatabase = Callable[..., Awaitable[str]]
FreshBroker = Callable[[], Awaitable[str]]


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> str | None:
    """Say which broker it will be, once it is known that one is needed; end the run if it is not the one required."""
    if not any(item.get_closest_marker(name) for item in items for name in ("connected", "e2e", "faults")):
        return None
    return _choice(config).sentence


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the processes under test complained of meanwhile."""
    report = yield
    if report.failed and (said := complaints(datetime.fromtimestamp(call.start, UTC).isoformat())):
        report.sections.append(("what the services logged", said))
    return report


def _choice(config: pytest.Config) -> Choice:
    if _CHOICE not in config.stash:
        try:
            config.stash[_CHOICE] = choose_broker(os.environ)
        except NoKafkaError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    return config.stash[_CHOICE]


@pytest.fixture(scope="session")
def broker_choice(request: pytest.FixtureRequest) -> Choice:
    """Which broker this run uses; `kind` is given, docker, kafka or embedded."""
    return _choice(request.config)


@pytest_asyncio.fixture(scope="session")
async def broker(broker_choice: Choice) -> AsyncIterator[str]:
    """Bootstrap servers of the run's broker. Tests share it: see `fresh_broker`."""
    with temporary_home() as home:
        async with running_broker(broker_choice, home) as servers:
            yield servers


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """Address of the run's PostgreSQL server, without a database. Tests share it: see `fresh_database`."""
    with temporary_home() as home:
        async with running_postgres(choose_postgres(os.environ), home) as url:
            yield url


@pytest_asyncio.fixture
async def fresh_database(postgres: str) -> AsyncIterator[CreateDatabase]:
    """`await fresh_database(name, template=None)`: the address of a new database, dropped after the test."""
    created: list[str] = []

    async def create(name: str, template: str | None = None) -> str:
        created.append(await create_database(postgres, name, template))
        return created[-1]

    yield create
    for address in created:
        await drop_database(address)


@pytest.fixture
def fresh_broker(broker: str) -> FreshBroker:
    """`await fresh_broker()`: the run's broker, emptied of all topics and of what groups have committed."""

    async def empty() -> str:
        await empty_broker(broker)
        return broker

    return empty


@pytest.fixture
def stack_home() -> Iterator[Path]:
    """A home for a stack of the test's own."""
    with temporary_home() as home:
        yield home


# ---- the toy service: its databases and replicas


@pytest_asyncio.fixture(scope="session")
async def migrated(postgres: str) -> AsyncIterator[str]:
    """The name of a template database with the toy's tables and positions."""
    name = f"toy_template_{uuid.uuid4().hex[:8]}"
    await create(postgres, name)
    connection = await asyncpg.connect(f"{postgres}/{name}")
    await migrate(connection, toy_service().migrations)
    await connection.execute(
        "INSERT INTO positions (speaker, lane) SELECT s, l FROM unnest(ARRAY['order', 'credit']) s, "
        f"generate_series(0, {LANES - 1}) l"
    )
    await connection.close()
    yield name
    await drop_database(f"{postgres}/{name}")


@pytest_asyncio.fixture
async def toy_databases(postgres: str, migrated: str) -> AsyncIterator[CreateToyDatabase]:
    """`await toy_databases()`: one more database of the toy."""
    made: list[Database] = []

    async def make() -> Database:
        made.append(Database(postgres, f"t{uuid.uuid4().hex[:10]}_"))
        await create(postgres, f"{made[-1].prefix}{SERVICE}", migrated)
        return made[-1]

    yield make
    for database in made:
        await drop_database(database.dsn)


@pytest_asyncio.fixture
async def database(toy_databases: CreateToyDatabase) -> Database:
    """A database of the toy."""
    return await toy_databases()


@pytest_asyncio.fixture
async def open_replica(database: Database) -> AsyncIterator[OpenReplica]:
    """`await open_replica(service=…)`: one more replica on the test's database."""
    pools: list[Any] = []

    async def make(service: Service | None = None, **options: Any) -> Replica:
        pools.append(await connect_pool(database.dsn))
        return Replica(service or toy_service(), pools[-1], **options)

    yield make
    for pool in pools:
        pool.terminate()


@pytest_asyncio.fixture
async def replica(open_replica: OpenReplica) -> Replica:
    """A replica of the toy."""
    return await open_replica()
