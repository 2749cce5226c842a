"""Goods that are short, leave in parts, never leave, leave while they are cancelled, and come back."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.e2e.conftest import NewDeal
from tests.e2e.deal import BANK, CANCELLED, COMPLETED, CUSTOMER_CREDIT, INVOICED, RECEIVABLES, REVENUE, TAX, Deal
from tests.e2e.system import System, eventually

pytestmark = pytest.mark.e2e

TOTAL = 12_000
OPEN = {RECEIVABLES: TOTAL, REVENUE: -10_000, TAX: -2_000}
"""The ledger of an order that is invoiced and not paid."""


async def test_an_order_that_is_short_of_stock_ships_when_stock_arrives(system: System, deal: Deal) -> None:
    await deal.begins(stock=4)
    await system.say(deal.order(ship_complete=True))
    await deal.ends_as(
        orders={deal.order_id(): ("confirmed", "backordered")},
        exposure=TOTAL,
        reserved=TOTAL,
        stock={deal.sku(): (4, 4, 6)},
    )
    backorders = await system.pages("fulfillment", "/backorders", order_id=deal.order_id())
    assert [(row["sku"], row["quantity"]) for row in backorders] == [(deal.sku(), 6)]
    # Nothing may leave before all is there, so this shipment waits.
    answer = await system.done("fulfillment", "/shipments", msgspec.to_builtins(deal.shipment()))
    assert answer["status"] == "waiting"
    await system.say(deal.receipt(10, number=2))
    await deal.ends_as(
        orders={deal.order_id(): INVOICED},
        exposure=TOTAL,
        stock={deal.sku(): (4, 0, 0)},
        invoices=(TOTAL,),
        due={deal.order_id(): TOTAL},
        ledger=OPEN,
    )
    assert (await system.get("fulfillment", f"/fulfillments/{deal.order_id()}"))["status"] == "shipped"


async def test_two_partial_shipments_lead_to_two_invoices_that_sum_to_the_order_to_the_cent(
    system: System, deal: Deal
) -> None:
    # 3 × 0.33 at 19 %, 3 × 1.01 at 7 %, 3 × 0.35 at 5.5 %: parts rounded one by one would not give the whole.
    lines = deal.line(3, 33, 1_900, sku=1), deal.line(3, 101, 700, sku=2), deal.line(3, 35, 550, sku=3)
    await deal.begins(stock=3)
    await deal.stocked(deal.receipt(3, sku=2), deal.receipt(3, sku=3))
    await system.say(deal.order(1, *lines))
    await deal.reserved()
    order = await system.get("order", f"/orders/{deal.order_id()}")
    net, tax = 99 + 303 + 105, 19 + 21 + 6  # 18.81, 21.21 and 5.775, each rounded half up once
    assert (order["net_minor"], order["tax_minor"], order["total_minor"]) == (net, tax, net + tax)

    await system.say(deal.shipment(number=1, lines={1: 1, 2: 1, 3: 1}))
    (first,) = await deal.invoiced(count=1)
    assert (first["net_minor"], first["tax_minor"], first["final"]) == (33 + 101 + 35, 6 + 7 + 2, False)
    await system.say(deal.shipment(number=2))
    _, second = await deal.invoiced(count=2)
    taxes = {t["tax_rate_bp"]: (t["base_minor"], t["tax_minor"]) for t in second["taxes"]}
    assert taxes == {1_900: (66, 13), 700: (202, 14), 550: (70, 4)}
    assert second["final"]
    assert first["total_minor"] + second["total_minor"] == order["total_minor"]

    await system.say(deal.payment(net + tax, order_id=deal.order_id()))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(n): (0, 0, 0) for n in (1, 2, 3)},
        invoices=(first["total_minor"], second["total_minor"]),
        ledger={BANK: net + tax, REVENUE: -net, TAX: -tax},
    )


async def test_an_order_cancelled_before_shipping_sets_stock_and_credit_free(system: System, deal: Deal) -> None:
    await deal.begins()
    await system.say(deal.order())
    await deal.reserved()
    await deal.ends_as(
        orders={deal.order_id(): ("confirmed", "reserved")},
        exposure=TOTAL,
        reserved=TOTAL,
        stock={deal.sku(): (100, 10, 0)},
    )
    await system.done("order", f"/orders/{deal.order_id()}/cancel", {"reason": "ordered twice"})
    await deal.ends_as(orders={deal.order_id(): CANCELLED}, stock={deal.sku(): (100, 0, 0)})
    late = await system.post("fulfillment", "/shipments", msgspec.to_builtins(deal.shipment()))
    assert (late.status_code, late.json()["code"]) == (409, "order_cancelled")
    await deal.ends_as(orders={deal.order_id(): CANCELLED}, stock={deal.sku(): (100, 0, 0)})


async def test_goods_that_left_for_an_order_that_was_never_confirmed_reach_a_person(system: System, deal: Deal) -> None:
    await deal.begins(limit=0)
    await system.say(deal.order())
    await deal.order_shows(status="held")
    early = await system.done("fulfillment", "/shipments", msgspec.to_builtins(deal.shipment()))
    assert early["status"] == "waiting"
    await system.done("order", f"/orders/{deal.order_id()}/cancel", {"reason": "ordered twice"})

    async def rejected() -> list[tuple[str, str]]:
        rows = await system.pages("fulfillment", "/rejected-shipments", order_id=deal.order_id())
        return [(row["shipment_id"], row["reason"]) for row in rows]

    await eventually(rejected, [(early["shipment_id"], "order_cancelled")])
    letters = await system.last_letter("fulfillment")
    late = await system.post("fulfillment", "/shipments", msgspec.to_builtins(deal.shipment(number=2)))
    assert (late.status_code, late.json()["code"]) == (409, "order_cancelled")
    await system.say(deal.shipment(number=3))

    async def refused() -> list[str]:
        return [letter["code"] for letter in await system.letters("fulfillment", letters)]

    await eventually(refused, ["order_cancelled"])
    await deal.ends_as(orders={deal.order_id(): CANCELLED}, stock={deal.sku(): (100, 0, 0)})
    await system.drop("fulfillment", await system.letters("fulfillment", letters))


async def test_cancelling_and_shipping_at_once_has_one_winner_for_every_order(system: System, deals: NewDeal) -> None:
    deal, count = deals(), 40
    await deal.begins(limit=10_000_000, stock=10 * count)
    await system.say(*(deal.order(number) for number in range(1, count + 1)))
    for number in range(1, count + 1):
        await deal.reserved(number)
    letters = await system.last_letter("fulfillment")

    async def race(number: int) -> None:
        async def cancel() -> None:
            path = f"/orders/{deal.order_id(number)}/cancel"
            assert (await system.post("order", path, {"reason": "changed my mind"})).status_code in (200, 409)

        async def ship() -> None:
            await asyncio.sleep(number * 0.03)  # the later, the better are the chances of the cancellation
            if number % 2:
                await system.say(deal.shipment(number))
            else:
                answer = await system.post("fulfillment", "/shipments", msgspec.to_builtins(deal.shipment(number)))
                assert answer.status_code in (201, 409), answer.text

        await asyncio.gather(cancel(), ship())

    await asyncio.gather(*(race(number) for number in range(1, count + 1)))
    await eventually(lambda: _undecided(system, deal, count), [])
    shipped = await _shipped(system, deal)
    too_late = [n for n in range(1, count + 1) if n % 2 and deal.order_id(n) not in shipped]

    async def refusals() -> list[str]:  # a shipment that was said may be heard after all else is decided
        return [letter["code"] for letter in await system.letters("fulfillment", letters)]

    await eventually(refusals, ["order_cancelled"] * len(too_late))
    refused = await system.letters("fulfillment", letters)
    orders: dict[str, Any] = {deal.order_id(n): CANCELLED for n in range(1, count + 1)}
    await deal.ends_as(
        orders=orders | dict.fromkeys(shipped, INVOICED),
        exposure=TOTAL * len(shipped),
        stock={deal.sku(): (10 * (count - len(shipped)), 0, 0)},
        invoices=(TOTAL,) * len(shipped),
        due=dict.fromkeys(shipped, TOTAL),
        ledger={account: amount * len(shipped) for account, amount in OPEN.items() if shipped},
    )
    await system.drop("fulfillment", refused)


async def _undecided(system: System, deal: Deal, count: int) -> list[str]:
    """Orders of which the order service and the warehouse do not say the same end yet."""
    shipped = await _shipped(system, deal)
    rows = await system.pages("order", "/orders", customer_id=deal.customer_id)
    ends = {row["order_id"]: row["status"] for row in rows}
    assert len(ends) == count
    return [
        order_id
        for order_id, status in ends.items()
        if status != ("confirmed" if order_id in shipped else "cancelled")
        or (order_id not in shipped and (await _fulfillment_status(system, order_id)) != "cancelled")
    ]


async def _shipped(system: System, deal: Deal) -> set[str]:
    rows = await system.pages("fulfillment", "/fulfillments", customer_id=deal.customer_id)
    return {row["order_id"] for row in rows if row["shipped"]}


async def _fulfillment_status(system: System, order_id: str) -> str:
    return str((await system.get("fulfillment", f"/fulfillments/{order_id}"))["status"])


async def test_goods_returned_after_payment_become_a_credit_note_and_customer_credit(
    system: System, deal: Deal
) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(TOTAL, reference=invoice["number"]))
    await deal.order_shows(status="completed")
    back = {"return_id": f"RT-{deal.name}", "order_id": deal.order_id(), "lines": [{"line_no": 1, "quantity": 3}]}
    too_many = await system.post("fulfillment", "/returns", {**back, "lines": [{"line_no": 1, "quantity": 11}]})
    assert (too_many.status_code, too_many.json()["code"]) == (409, "over_returned")
    assert (await system.post("fulfillment", "/returns", back)).status_code == 201
    received = {"order_id": deal.order_id(), "received_at": f"{deal.day}T15:00:00Z", "restocked": True}
    path = f"/returns/{back['return_id']}/received"
    assert (await system.post("fulfillment", path, received)).status_code == 201
    assert (await system.post("fulfillment", path, received)).status_code == 200
    notes: list[Any] = []

    async def credited() -> int:
        notes[:] = await system.pages("billing", "/credit-notes", order_id=deal.order_id())
        return len(notes)

    await eventually(credited, 1)
    assert (notes[0]["net_minor"], notes[0]["tax_minor"], notes[0]["invoice_number"]) == (3_000, 600, invoice["number"])
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        exposure=-3_600,
        stock={deal.sku(): (93, 0, 0)},
        invoices=(TOTAL,),
        credit_notes=(3_600,),
        unapplied={notes[0]["credit_note_id"]: 3_600},
        ledger={BANK: TOTAL, CUSTOMER_CREDIT: -3_600, REVENUE: -7_000, TAX: -1_400},
    )


async def test_an_order_invoiced_on_confirmation_is_invoiced_before_it_ships(system: System, deal: Deal) -> None:
    await deal.begins()
    await system.say(deal.order(invoice_on="confirmation"))
    (invoice,) = await deal.invoiced()
    assert (invoice["total_minor"], invoice["final"], invoice["shipment_id"]) == (TOTAL, True, "")
    await system.say(deal.payment(TOTAL, reference=invoice["number"]))
    await deal.order_shows(invoiced_fully=True, settled_minor=TOTAL, shipped_fully=False)
    await system.say(deal.shipment())
    await deal.order_shows(status="completed", shipped_fully=True)
    assert len(await deal.invoices()) == 1
