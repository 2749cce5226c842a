"""Money that comes in: in full, in parts, too much, too little, twice, and before the invoice."""

import asyncio
from datetime import date

import msgspec
import pytest

from tests.e2e.deal import BANK, COMPLETED, CUSTOMER_CREDIT, INVOICED, RECEIVABLES, REVENUE, TAX, WRITE_OFFS, Deal
from tests.e2e.system import System, eventually

pytestmark = pytest.mark.e2e

SHIPPED = (90, 0, 0)
"""Of 100 pieces, 10 went out."""


async def test_an_order_paid_in_full_completes_and_owes_nothing(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    assert (invoice["net_minor"], invoice["tax_minor"], invoice["final"]) == (10_000, 2_000, True)
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_an_order_paid_in_two_parts_completes_with_the_second(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(5_000, 1, reference=invoice["number"]))
    await deal.ends_as(
        orders={deal.order_id(): INVOICED},
        exposure=7_000,
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        due={deal.order_id(): 7_000},
        ledger={BANK: 5_000, RECEIVABLES: 7_000, REVENUE: -10_000, TAX: -2_000},
    )
    await system.say(deal.payment(7_000, 2, reference=invoice["number"]))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_the_rest_of_an_over_payment_is_unapplied_customer_credit(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(15_000, reference=f"our order, {invoice['number']}"))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        exposure=-3_000,
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        unapplied={deal.payment_id(): 3_000},
        ledger={BANK: 15_000, CUSTOMER_CREDIT: -3_000, REVENUE: -10_000, TAX: -2_000},
    )
    payment = await system.get("receivables", f"/payments/{deal.payment_id()}")
    assert payment["unapplied_minor"] == 3_000
    assert [(a["number"], a["amount_minor"]) for a in payment["applications"]] == [(invoice["number"], 12_000)]


async def test_a_short_payment_leaves_the_rest_open(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(11_999, reference=invoice["number"]))
    await deal.ends_as(
        orders={deal.order_id(): INVOICED},
        exposure=1,
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        due={deal.order_id(): 1},
        ledger={BANK: 11_999, RECEIVABLES: 1, REVENUE: -10_000, TAX: -2_000},
    )
    items = await system.pages("receivables", "/open-items", customer_id=deal.customer_id)
    assert [(item["status"], item["open_minor"]) for item in items] == [("partly_paid", 1)]


async def test_the_same_payment_counts_once_however_often_and_wherever_it_is_delivered(
    system: System, deal: Deal
) -> None:
    await deal.begins()
    invoice = await deal.ships()
    payment = deal.payment(7_000, reference=invoice["number"])
    body = msgspec.to_builtins(payment)
    letters = await system.last_letter("receivables")
    answers = await asyncio.gather(
        system.say(payment, payment),
        system.post("receivables", "/payments", body),
        system.post("receivables", "/payments", body),
    )
    assert {answer.status_code for answer in answers if answer is not None} <= {200, 201}
    assert (await system.post("receivables", "/payments", body)).status_code == 200

    other = await system.post("receivables", "/payments", {**body, "amount_minor": 7_001})
    assert (other.status_code, other.json()["code"]) == (409, "payment_id_reused")
    await system.say(deal.payment(7_002, reference=invoice["number"]))

    async def refused() -> list[str]:
        return [letter["code"] for letter in await system.letters("receivables", letters)]

    await eventually(refused, ["payment_id_reused"])
    await deal.ends_as(
        orders={deal.order_id(): INVOICED},
        exposure=5_000,
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        due={deal.order_id(): 5_000},
        ledger={BANK: 7_000, RECEIVABLES: 5_000, REVENUE: -10_000, TAX: -2_000},
    )
    await system.drop("receivables", await system.letters("receivables", letters))


async def test_an_order_prepaid_by_card_needs_no_credit_and_is_paid_when_it_is_invoiced(
    system: System, deal: Deal
) -> None:
    await deal.begins(limit=0)
    await system.say(deal.payment(12_000, method="card", order_id=deal.order_id()))
    await deal.ends_as(
        exposure=-12_000,
        stock={deal.sku(): (100, 0, 0)},
        unapplied={deal.payment_id(): 12_000},
        ledger={BANK: 12_000, CUSTOMER_CREDIT: -12_000},
    )
    await system.say(deal.order(prepaid=True))
    await deal.reserved()
    await system.say(deal.shipment())
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_a_person_applies_unapplied_money_only_to_what_they_have_seen(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, reference="INV-1999-000001"))
    account = f"/accounts/{deal.customer_id}"
    await eventually(lambda: _unapplied(system, deal), {deal.payment_id(): 12_000})
    seen = await deal.etag("receivables", account)
    part = {"source_id": deal.payment_id(), "invoice_id": invoice["invoice_id"], "amount_minor": 4_000, "by": "Ada"}
    unseen = await system.post("receivables", f"{account}/apply", part)
    assert (unseen.status_code, unseen.json()["errors"][0]["field"]) == (422, "If-Match")
    assert (await system.done("receivables", f"{account}/apply", part, If_Match=seen))["open_minor"] == 8_000
    again = await system.post("receivables", f"{account}/apply", part, If_Match=seen)
    assert again.status_code == 412
    seen = await deal.etag("receivables", account)
    await system.done("receivables", f"{account}/apply", {**part, "amount_minor": 8_000}, If_Match=seen)
    payment = await system.get("receivables", f"/payments/{deal.payment_id()}")
    assert [(a["number"], a["amount_minor"]) for a in payment["applications"]] == [(invoice["number"], 12_000)]
    deal.later_days.append(date.fromisoformat(payment["applications"][0]["applied_on"]))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): SHIPPED},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_what_was_written_off_is_no_loss_when_it_is_paid_or_credited_after_all(
    system: System, deal: Deal
) -> None:
    await deal.begins()
    short, unpaid = await deal.ships(1), await deal.ships(2)
    await system.say(deal.payment(11_000, 1, reference=short["number"]))
    await eventually(lambda: _due(system, deal), {short["number"]: 1_000, unpaid["number"]: 12_000})
    for invoice in (short, unpaid):
        given_up = {"by": "Ada", "reason": "insolvent"}
        seen = await deal.etag("receivables", f"/accounts/{deal.customer_id}")
        path = f"/open-items/{invoice['invoice_id']}/write-off"
        await system.done("receivables", path, given_up, If_Match=seen)
    losses = await system.pages("receivables", "/journal", account=WRITE_OFFS)
    deal.later_days += [date.fromisoformat(r["posted_on"]) for r in losses if r["customer_id"] == deal.customer_id]
    both = {
        "orders": {deal.order_id(1): COMPLETED, deal.order_id(2): COMPLETED},
        "invoices": (12_000, 12_000),
    }
    await deal.ends_as(
        **both,
        stock={deal.sku(): (80, 0, 0)},
        ledger={BANK: 11_000, REVENUE: -20_000, TAX: -4_000, WRITE_OFFS: 13_000},
    )
    await system.say(deal.payment(1_000, 2, reference=short["number"]))
    back = {"return_id": f"RT-{deal.name}", "order_id": deal.order_id(2), "lines": [{"line_no": 1, "quantity": 10}]}
    await system.done("fulfillment", "/returns", back)
    received = {"order_id": deal.order_id(2), "received_at": f"{deal.day}T15:00:00Z", "restocked": True}
    await system.done("fulfillment", f"/returns/{back['return_id']}/received", received)
    await deal.ends_as(
        **both,
        credit_notes=(12_000,),
        stock={deal.sku(): (90, 0, 0)},
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def _due(system: System, deal: Deal) -> dict[str, int]:
    items = await system.pages("receivables", "/open-items", customer_id=deal.customer_id)
    return {item["number"]: item["open_minor"] for item in items}


async def test_an_order_whose_payment_was_taken_back_completes_when_the_invoice_is_paid_again(
    system: System, deal: Deal
) -> None:
    await deal.begins()
    await system.say(deal.order(invoice_on="confirmation"))
    (invoice,) = await deal.invoiced()
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    await deal.order_shows(settled_minor=12_000)
    account = f"/accounts/{deal.customer_id}"
    cash = {"source_id": deal.payment_id(), "invoice_id": invoice["invoice_id"], "amount_minor": 12_000, "by": "Ada"}
    seen = await deal.etag("receivables", account)
    await system.done("receivables", f"{account}/unapply", cash, If_Match=seen)
    await deal.order_shows(settled_minor=0)
    await system.say(deal.shipment())
    await deal.order_shows(status="confirmed", shipped_fully=True, invoiced_fully=True, settled_minor=0)
    seen = await deal.etag("receivables", account)
    await system.done("receivables", f"{account}/apply", cash, If_Match=seen)
    await deal.order_shows(status="completed", settled_minor=12_000)


async def _unapplied(system: System, deal: Deal) -> dict[str, int]:
    found = await system.pages("receivables", "/unapplied", customer_id=deal.customer_id)
    return {rest["source_id"]: rest["rest_minor"] for rest in found}
