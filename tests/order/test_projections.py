"""In which stage an order waits, as the list of orders and the gauges say it."""

import pytest

from services.order.domain.order_facts import AllocationNoted, InvoiceNoted, OrderFact, ShipmentNoted, ShippedQuantity
from services.order.gauges import STAGES
from services.order.projections import stage_of
from tests.order.samples import (
    AT,
    CANCELLED,
    COMPLETED,
    CONFIRMED,
    HELD,
    INVOICED,
    PAID,
    PLACED,
    REFUSED,
    REJECTED,
    RELEASED,
    REOPENED,
    REQUESTED,
    RESERVED,
    SHIPPED,
    new,
)

PART_SHIPPED = ShipmentNoted("S-0", (ShippedQuantity(1, 1),), AT, False)
PART_INVOICED = InvoiceNoted("I-0", "INV-2026-000009", 100, False)


@pytest.mark.parametrize(
    ("facts", "stages"),
    [
        ([PLACED, HELD, RELEASED, CONFIRMED], ["credit", "credit", "credit", "stock"]),
        ([PLACED, HELD, REJECTED], ["credit", "credit", "rejected"]),
        (
            [PLACED, CONFIRMED, AllocationNoted("backordered"), AllocationNoted("partial"), PART_SHIPPED, RESERVED],
            ["credit", "stock", "stock", "stock", "stock", "warehouse"],
        ),
        (
            [PLACED, CONFIRMED, RESERVED, PART_SHIPPED, PART_INVOICED, SHIPPED, INVOICED, PAID, COMPLETED],
            ["credit", "stock", *["warehouse"] * 3, "invoice", "payment", "payment", "completed"],
        ),
        (
            [PLACED, CONFIRMED, RESERVED, INVOICED, PAID, REOPENED, SHIPPED, PAID, COMPLETED, REOPENED],
            ["credit", "stock", *["warehouse"] * 4, "payment", "payment", "completed", "completed"],
        ),
        (
            [PLACED, CONFIRMED, RESERVED, REQUESTED, REFUSED],
            ["credit", "stock", "warehouse", "cancelling", "warehouse"],
        ),
        ([PLACED, CONFIRMED, REQUESTED, CANCELLED], ["credit", "stock", "cancelling", "cancelled"]),
    ],
)
def test_an_order_waits_in_the_stage_that_its_facts_lead_to(facts: list[OrderFact], stages: list[str]) -> None:
    found = [stage_of(new.given(*facts[:count]).state()) for count in range(1, len(facts) + 1)]
    assert found == stages
    assert {*stages} <= {*STAGES, "rejected", "cancelled", "completed"}
