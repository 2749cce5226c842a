"""One stack for all end-to-end tests, on the broker of the run; every test has customers and articles of its own."""

import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from o2c.stack import Stack, StackOptions
from tests.e2e.deal import Deal
from tests.e2e.system import System
from tests.support.brokers import Choice, empty_broker
from tests.support.homes import temporary_home

_HERE = Path(__file__).parent
_LAST = "test_verified.py"
_DAYS = 150  # all in one year, and none in the future
_numbers = count()

NewDeal = Callable[..., Deal]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is proved over the stores of all tests comes last among them."""
    places = [place for place, item in enumerate(items) if _HERE in item.path.parents]
    mine = sorted((items[place] for place in places), key=lambda item: item.path.name == _LAST)
    for place, item in zip(places, mine, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def e2e_home() -> Iterator[Path]:
    """The home of the shared stack."""
    with temporary_home() as home:
        yield home


@pytest.fixture(scope="package")
def foreign_broker(request: pytest.FixtureRequest, broker_choice: Choice) -> str:
    """The run's broker if it is one that a stack does not start itself, else nothing."""
    return str(request.getfixturevalue("broker")) if broker_choice.kind in ("given", "docker") else ""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system(broker_choice: Choice, foreign_broker: str, e2e_home: Path) -> AsyncIterator[System]:
    """PostgreSQL, the broker of this run and the six services, all as processes."""
    services: dict[str, str] = {}
    if foreign_broker:
        services["O2C_KAFKA_SERVERS"] = foreign_broker
        await empty_broker(foreign_broker)
    options = StackOptions(
        home=e2e_home,
        broker="kafka" if broker_choice.kind == "kafka" else "embedded",
        environment=services,
    )
    async with await Stack.up(options) as stack:
        servers = services.get("O2C_KAFKA_SERVERS", stack.kafka_servers)
        own = {"O2C_HOME": str(e2e_home)}
        if services:
            urls = ",".join(f"{name}={stack.http_url(name)}" for name in stack.services)
            own |= {"O2C_SERVICE_URLS": urls, "O2C_DATABASE_URL": stack.database_url, **services}
        async with System(stack, e2e_home, servers, own) as running:
            yield running


@pytest.fixture
def deals(system: System, request: pytest.FixtureRequest) -> NewDeal:
    """`deals(currency="EUR")`: a new customer of this test."""

    def new(currency: str = "EUR") -> Deal:
        test = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:24].strip("-")
        day = date(2026, 3, 1) + timedelta(days=next(_numbers) % _DAYS)
        return Deal(system, f"{test}-{uuid.uuid4().hex[:6]}", day, currency)

    return new


@pytest.fixture
def deal(deals: NewDeal) -> Deal:
    """The customer of this test."""
    return deals()
