"""A stack of its own whose every trace goes to a collector of the test's own, and one order carried through it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
import pytest_asyncio

from o2c.stack import Stack, StackOptions
from tests.e2e.deal import Deal
from tests.e2e.system import System
from tests.support.brokers import Choice, empty_broker
from tests.support.homes import temporary_home
from tests.telemetry.receiver import Received, receiving


@pytest.fixture(scope="package")
def collector() -> Iterator[Received]:
    """What the services have exported."""
    with receiving() as received:
        yield received


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system(broker_choice: Choice, collector: Received, request: pytest.FixtureRequest) -> AsyncIterator[System]:
    """PostgreSQL, the broker of this run and the six services, which sample every trace."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "O2C_TRACE_RATIO": "1",
        "O2C_OTLP_METRICS_SECONDS": "1",
    }
    if broker_choice.kind in ("given", "docker"):
        environment["O2C_KAFKA_SERVERS"] = str(request.getfixturevalue("broker"))
        await empty_broker(environment["O2C_KAFKA_SERVERS"])
    with temporary_home() as home:
        options = StackOptions(
            home=home, broker="kafka" if broker_choice.kind == "kafka" else "embedded", environment=environment
        )
        async with await Stack.up(options) as stack:
            servers = environment.get("O2C_KAFKA_SERVERS", stack.kafka_servers)
            async with System(stack, home, servers, {"O2C_HOME": str(home)}) as running:
                yield running


@dataclass(frozen=True)
class Carried:
    """An order from the request to the paid invoice, and what the shop was answered."""

    deal: Deal
    order_id: str


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def carried(system: System) -> Carried:
    """An order over HTTP, shipped and paid over Kafka by a warehouse and a bank that know nothing of traces."""
    deal = Deal(system, "trace", date(2026, 3, 2))
    await deal.begins()
    order_id = deal.order_id()
    line = {"sku": deal.sku(), "quantity": 10, "unit_price_minor": 1_000, "tax_rate_bp": 2_000}
    body: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": deal.customer_id,
        "currency": deal.currency,
        "lines": [line],
    }
    await system.done("order", "/orders", body)
    await deal.reserved()
    await system.say(deal.shipment())
    (invoice,) = await deal.invoiced()
    await system.say(deal.payment(12_000, reference=invoice["number"], order_id=order_id))
    await deal.order_shows(status="completed")
    await system.rests()
    return Carried(deal, order_id)
