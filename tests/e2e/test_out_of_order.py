"""Messages that arrive before the ones they need: they wait, and nothing is lost or refused."""

import pytest

from tests.e2e.deal import BANK, COMPLETED, CUSTOMER_CREDIT, INVOICED, RECEIVABLES, REVENUE, TAX, Deal
from tests.e2e.system import System, eventually

pytestmark = pytest.mark.e2e


async def test_a_shipment_announced_before_its_order_is_carried_out_when_the_order_comes(
    system: System, deal: Deal
) -> None:
    await deal.begins()
    await system.say(deal.shipment())

    async def waiting() -> int:
        answer = await system.clients["fulfillment"].get(f"/fulfillments/{deal.order_id()}")
        return answer.json().get("shipments_waiting", 0)

    await eventually(waiting, 1)
    await deal.ends_as(stock={deal.sku(): (100, 0, 0)})
    await system.say(deal.order())
    await deal.ends_as(
        orders={deal.order_id(): INVOICED},
        exposure=12_000,
        stock={deal.sku(): (90, 0, 0)},
        invoices=(12_000,),
        due={deal.order_id(): 12_000},
        ledger={RECEIVABLES: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_a_payment_before_its_invoice_waits_for_it_and_then_pays_it(system: System, deal: Deal) -> None:
    await deal.begins()
    await system.say(deal.order())
    await deal.reserved()
    await system.say(deal.payment(12_000, order_id=deal.order_id()))
    await deal.ends_as(
        orders={deal.order_id(): ("confirmed", "reserved")},
        reserved=12_000,
        stock={deal.sku(): (100, 10, 0)},
        unapplied={deal.payment_id(): 12_000},
        ledger={BANK: 12_000, CUSTOMER_CREDIT: -12_000},
    )
    await system.say(deal.shipment())
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): (90, 0, 0)},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_everything_said_backwards_before_the_customer_is_known_ends_the_same(system: System, deal: Deal) -> None:
    await system.say(deal.payment(12_000, order_id=deal.order_id()))
    await system.say(deal.shipment())
    await system.say(deal.order())
    await deal.order_shows(status="held", reason="credit_declined")
    await system.say(deal.customer())
    await system.say(deal.receipt(100))
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): (90, 0, 0)},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )
