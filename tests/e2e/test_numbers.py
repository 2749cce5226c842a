"""Invoice numbers under concurrency: gapless and unique, with two processes that number at the same time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from o2c.stack.ports import free_port
from o2c.stack.service_process import ServiceProcess
from o2c.stack.stack import service_command
from tests.e2e.conftest import NewDeal
from tests.e2e.deal import INVOICED, RECEIVABLES, REVENUE, TAX, Deal
from tests.e2e.system import System, eventually, eventually_true

pytestmark = pytest.mark.e2e

CUSTOMERS, ORDERS_EACH = 10, 20


@pytest_asyncio.fixture
async def second_billing(system: System) -> AsyncIterator[ServiceProcess]:
    """Another billing process on the same database and in the same group."""
    replica = ServiceProcess(
        "billing-2",
        system.home / "log" / "billing-2.log",
        free_port(),
        argv=service_command("billing"),
        environment={"O2C_DATABASE_URL": system.stack.database_url, "O2C_KAFKA_SERVERS": system.kafka_servers},
    )
    await replica.start()
    try:
        yield replica
    finally:
        await replica.stop()
    assert await replica.wait() == 0, "a replica that is asked to end ends cleanly"


async def _consumed(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        status = (await client.get(f"{url}/status")).json()
    return {"records": status["consumer"]["records"], "topics": set(status["lag"])}


async def test_two_hundred_orders_shipped_at_once_get_gapless_invoice_numbers_from_two_processes(
    system: System, deals: NewDeal, second_billing: ServiceProcess
) -> None:
    mine = [deals() for _ in range(CUSTOMERS)]
    await asyncio.gather(*(deal.begins(limit=10_000_000, stock=1_000) for deal in mine))
    numbers = range(1, ORDERS_EACH + 1)
    await system.say(*(deal.order(number) for deal in mine for number in numbers))
    for deal in mine:
        await eventually(lambda deal=deal: _allocations(system, deal), {"reserved": ORDERS_EACH})
    processes = [system.stack.http_url("billing"), second_billing.url]
    for url in processes:
        await eventually_true(lambda url=url: _hears_both(url))
    before = [(await _consumed(url))["records"] for url in processes]

    await system.say(*(deal.shipment(number) for deal in mine for number in numbers))
    for deal in mine:
        await eventually(lambda deal=deal: _invoice_count(system, deal), ORDERS_EACH)
    after = [(await _consumed(url))["records"] for url in processes]
    assert all(later > earlier for earlier, later in zip(before, after, strict=True)), "both took part"

    issued = await system.pages("billing", "/invoices")
    series = {each["series"]: each["last"] for each in await system.get("billing", "/number-series")}
    assert any(name.startswith("INV-") for name in series)
    for name in {invoice["series"] for invoice in issued}:
        found = [invoice["number"] for invoice in issued if invoice["series"] == name]
        assert sorted(found) == [f"{name}-{number:06d}" for number in range(1, series[name] + 1)]
    total = 12_000 * ORDERS_EACH
    for deal in mine:
        await deal.ends_as(
            orders={deal.order_id(number): INVOICED for number in numbers},
            exposure=total,
            stock={deal.sku(): (800, 0, 0)},
            invoices=(12_000,) * ORDERS_EACH,
            due={deal.order_id(number): 12_000 for number in numbers},
            ledger={RECEIVABLES: total, REVENUE: -10_000 * ORDERS_EACH, TAX: -2_000 * ORDERS_EACH},
        )


async def _hears_both(url: str) -> bool:
    return {"o2c.order.events", "o2c.fulfillment.events"} <= (await _consumed(url))["topics"]


async def _allocations(system: System, deal: Deal) -> Counter[str]:
    rows = await system.pages("order", "/orders", customer_id=deal.customer_id)
    return Counter(row["allocation"] for row in rows)


async def _invoice_count(system: System, deal: Deal) -> int:
    return len(await system.pages("billing", "/invoices", customer_id=deal.customer_id))
