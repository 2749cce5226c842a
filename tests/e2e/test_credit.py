"""Who may owe us how much: orders that wait for credit, for money, or for a person, and orders that race."""

import asyncio

import msgspec
import pytest

from tests.e2e.conftest import NewDeal
from tests.e2e.deal import BANK, COMPLETED, CUSTOMER_CREDIT, HELD, RECEIVABLES, REVENUE, TAX, Deal
from tests.e2e.system import System, eventually

pytestmark = pytest.mark.e2e

RESERVED = ("confirmed", "reserved")


async def _review(system: System, deal: Deal, status: str) -> list[tuple[str, str]]:
    found = await system.pages("credit", "/credit-reviews", customer_id=deal.customer_id, status=status)
    return [(review["order_id"], review["decided_by"]) for review in found]


async def test_a_declined_order_is_held_and_approved_by_itself_when_money_comes_in(system: System, deal: Deal) -> None:
    await deal.begins(limit=12_000)
    invoice = await deal.ships(1)
    await system.say(deal.order(2))
    held = {
        "orders": {deal.order_id(1): ("confirmed", "invoiced"), deal.order_id(2): HELD},
        "exposure": 12_000,
        "stock": {deal.sku(): (90, 0, 0)},
        "invoices": (12_000,),
        "due": {deal.order_id(1): 12_000},
        "ledger": {RECEIVABLES: 12_000, REVENUE: -10_000, TAX: -2_000},
    }
    await deal.ends_as(**held)
    await deal.order_shows(2, status="held", reason="credit_declined")
    assert [r["reason"] for r in await system.pages("credit", "/credit-reviews", customer_id=deal.customer_id)] == [
        "limit_exceeded"
    ]
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    await deal.ends_as(
        orders={deal.order_id(1): COMPLETED, deal.order_id(2): RESERVED},
        exposure=12_000,
        reserved=12_000,
        stock={deal.sku(): (90, 10, 0)},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )
    assert await _review(system, deal, "approved") == [(deal.order_id(2), "policy")]


async def test_a_referred_order_goes_on_when_a_person_approves_it(system: System, deal: Deal) -> None:
    await deal.begins(limit=11_500)
    await system.say(deal.order())
    await deal.order_shows(status="held", reason="credit_referred")
    await eventually(lambda: _review(system, deal, "referred"), [(deal.order_id(), None)])
    await deal.ends_as(orders={deal.order_id(): HELD}, stock={deal.sku(): (100, 0, 0)})

    account = f"/credit-accounts/{deal.customer_id}"
    decision = {"by": "Ada Byron", "reason": "a good customer"}
    stale = await system.post("credit", f"/credit-reviews/{deal.order_id()}/approve", decision, If_Match='"1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "version")
    seen = await deal.etag("credit", account)
    approved = await system.done("credit", f"/credit-reviews/{deal.order_id()}/approve", decision, If_Match=seen)
    assert (approved["exposure_minor"], approved["available_minor"]) == (12_000, -500)
    await deal.ends_as(
        orders={deal.order_id(): RESERVED}, exposure=12_000, reserved=12_000, stock={deal.sku(): (100, 10, 0)}
    )
    assert await _review(system, deal, "approved") == [(deal.order_id(), "Ada Byron")]


async def test_a_referred_order_that_a_person_declines_is_not_tried_again_and_can_be_rejected(
    system: System, deal: Deal
) -> None:
    await deal.begins(limit=11_500)
    await system.say(deal.order())
    await eventually(lambda: _review(system, deal, "referred"), [(deal.order_id(), None)])
    await system.done("credit", f"/credit-reviews/{deal.order_id()}/decline", {"by": "Ada Byron", "reason": "no"})
    await deal.order_shows(status="held", reason="credit_declined")
    assert await _review(system, deal, "declined_by_person") == [(deal.order_id(), "Ada Byron")]

    # Money and a higher limit would do for an order that the policy declined.
    await system.say(deal.payment(12_000))
    response = await system.clients["credit"].put(
        f"/credit-accounts/{deal.customer_id}/limit", json={"limit_minor": 50_000}
    )
    assert response.status_code == 200
    money = {
        "exposure": -12_000,
        "stock": {deal.sku(): (100, 0, 0)},
        "unapplied": {deal.payment_id(): 12_000},
        "ledger": {BANK: 12_000, CUSTOMER_CREDIT: -12_000},
    }
    await deal.ends_as(orders={deal.order_id(): HELD}, **money)
    await system.done("order", f"/orders/{deal.order_id()}/reject", {"reasons": ["declined by credit"]})
    await deal.ends_as(orders={deal.order_id(): ("rejected", "rejected")}, **money)


async def test_a_held_account_approves_nothing_until_it_is_released(system: System, deal: Deal) -> None:
    await deal.begins()
    account = f"/credit-accounts/{deal.customer_id}"
    await system.done("credit", f"{account}/hold", {"reason": "insolvency announced"})
    await system.say(deal.order())
    await deal.order_shows(status="held", reason="credit_declined")
    await deal.ends_as(orders={deal.order_id(): HELD}, stock={deal.sku(): (100, 0, 0)})
    await system.done("credit", f"{account}/release")
    await deal.ends_as(
        orders={deal.order_id(): RESERVED}, exposure=12_000, reserved=12_000, stock={deal.sku(): (100, 10, 0)}
    )


async def test_of_two_orders_that_race_for_the_last_of_a_limit_one_wins(system: System, deals: NewDeal) -> None:
    racing = [deals() for _ in range(5)]
    await asyncio.gather(*(deal.begins(limit=12_000) for deal in racing))

    async def both(deal: Deal) -> None:
        over_http = msgspec.to_builtins(deal.order(2))
        _, answer = await asyncio.gather(system.say(deal.order(1)), system.post("order", "/orders", over_http))
        assert answer.status_code == 201, answer.text

    await asyncio.gather(*map(both, racing))
    for deal in racing:

        async def statuses(deal: Deal = deal) -> list[str]:
            rows = await system.pages("order", "/orders", customer_id=deal.customer_id)
            return sorted(f"{row['status']} {row['allocation']}" for row in rows)

        await eventually(statuses, ["confirmed reserved", "held "])
        rows = await system.pages("order", "/orders", customer_id=deal.customer_id)
        winner, loser = sorted(rows, key=lambda row: row["status"])
        assert loser["reason"] == "credit_declined"
        await deal.ends_as(
            orders={winner["order_id"]: RESERVED, loser["order_id"]: HELD},
            exposure=12_000,
            reserved=12_000,
            stock={deal.sku(): (100, 10, 0)},
        )
