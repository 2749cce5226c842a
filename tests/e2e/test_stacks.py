"""Stacks as users start them: `o2c up --detach` beside another stack, `o2c down`, and the demo with its report."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from o2c.stack import Stack, StackState
from tests.e2e.deal import Deal
from tests.e2e.system import System, eventually, o2c
from tests.support.homes import temporary_home

pytestmark = pytest.mark.e2e

REPORT = {
    "orders",
    "invoices",
    "payments",
    "refused",
    "seconds",
    "currencies",
    "invoiced_minor",
    "cash_applied_minor",
    "trial_balance_minor",
    "verified",
}


@pytest_asyncio.fixture
async def other_home() -> AsyncIterator[Path]:
    """A home whose stack is taken down afterwards, whatever the test left."""
    with temporary_home() as home:
        try:
            yield home
        finally:
            await Stack.down(home)


def _running(state: StackState | None) -> list[str]:
    assert state is not None
    return sorted(name for name, part in state.parts.items() if part.identity and part.identity.alive)


async def test_a_stack_comes_up_detached_beside_another_and_goes_down_without_it(
    system: System, deal: Deal, other_home: Path
) -> None:
    environment = {"O2C_HOME": str(other_home)}
    nothing = await o2c(environment, "status")
    assert (nothing.code, "no stack is up" in nothing.err) == (3, True)
    up = await o2c(environment, "up", "--detach")
    assert up.code == 0, up.err
    state = Stack.state(other_home)
    assert state is not None
    assert _running(state) == sorted(["postgres", "broker", *system.clients])
    assert set(state.http_urls.values()).isdisjoint(system.http_urls.values())

    # The same customer and order ids on both, and neither knows what the other has.
    await deal.begins()
    body = msgspec.to_builtins(deal.order())
    async with httpx.AsyncClient(base_url=state.http_urls["order"], trust_env=False) as other:
        assert (await other.post("/orders", json={**body, "prepaid": True})).status_code == 201
        assert (await system.clients["order"].get(f"/orders/{deal.order_id()}")).status_code == 404
        await system.say(deal.order())
        await deal.reserved()

        async def confirmed_there() -> tuple[str, str]:
            order = (await other.get(f"/orders/{deal.order_id()}")).json()
            return order["status"], order["allocation"]

        await eventually(confirmed_there, ("confirmed", "backordered"))

    down = await o2c(environment, "down")
    assert (down.code, _running(Stack.state(other_home))) == (0, [])
    assert "Nothing was up" in (await o2c(environment, "down")).out
    assert _running(Stack.state(system.home)) == sorted(["postgres", "broker", *system.clients])


async def test_the_demo_carries_real_orders_to_cash_and_reports_it(system: System, other_home: Path) -> None:
    report = other_home / "demo.json"
    demo = await o2c({"O2C_HOME": str(other_home)}, "demo", "--orders", "40", "--report", str(report))
    assert demo.code == 0, demo.err
    figures = msgspec.json.decode(report.read_bytes())
    assert figures.keys() == REPORT
    assert (figures["orders"], figures["verified"], figures["trial_balance_minor"]) == (40, True, 0)
    assert figures["invoices"] >= 40
    assert figures["payments"] >= 40
    assert figures["invoiced_minor"] >= figures["cash_applied_minor"] > 0
    assert set(figures["currencies"]) == {"GBP"}
    assert "40 real orders" in demo.out
    assert _running(Stack.state(other_home / "demo")) == []
