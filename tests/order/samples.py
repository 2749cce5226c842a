"""Sentences' words for orders: one order of two lines, and what happens to it."""

from datetime import UTC, datetime

from services.order.domain.order import order
from services.order.domain.order_commands import (
    CancelOrder,
    ConfirmOrder,
    FinishCancellation,
    HoldOrder,
    NoteProgress,
    PlaceOrder,
    RefuseCancellation,
    RejectOrder,
)
from services.order.domain.order_facts import (
    AllocationNoted,
    CreditNoteNoted,
    InvoiceNoted,
    InvoicePaymentNoted,
    InvoiceReopened,
    Noted,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderHeld,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderReleased,
    ShipmentNoted,
    ShippedQuantity,
)
from shared.eventsourced.testing import Scenario

AT = datetime(2026, 3, 31, 12, tzinfo=UTC)
O, C = "O-1", "C-1"  # noqa: E741
LINES = (OrderLine(1, "SKU-1", 2, 1_000, 2_000), OrderLine(2, "SKU-2", 5, 100, 0))

PLACE = PlaceOrder(O, C, "EUR", LINES, AT, 30, False, True, "shipment")
PLACED = OrderPlaced(O, C, "EUR", LINES, 2_500, 400, 2_900, AT, 30, False, True, "shipment")
CONFIRMED = OrderConfirmed(O, C, "EUR", LINES, 2_500, 400, 2_900, AT, 30, False, True, "shipment")
HELD = OrderHeld(O, C, "credit_declined")
REFERRED = OrderHeld(O, C, "credit_referred")
RELEASED = OrderReleased(O, C)
REJECTED = OrderRejected(O, C, ("No longer ours",))
REQUESTED = OrderCancellationRequested(O, C, "Ordered twice")
REFUSED = OrderCancellationRefused("shipped")
CANCELLED = OrderCancelled(O, C, "Ordered twice")
COMPLETED = OrderCompleted(O, C, "EUR", 2_900)

CONFIRM = ConfirmOrder(AT)
DECLINE = HoldOrder("credit_declined")
REFER = HoldOrder("credit_referred")
REJECT = RejectOrder(O, ("No longer ours",))
CANCEL = CancelOrder(O, "Ordered twice")
FINISH = FinishCancellation()
REFUSE = RefuseCancellation("shipped")

RESERVED = AllocationNoted("reserved")
SHIPPED = ShipmentNoted("S-1", (ShippedQuantity(1, 2), ShippedQuantity(2, 5)), AT, True)
INVOICED = InvoiceNoted("I-1", "INV-2026-000001", 2_900, True)
PAID = InvoicePaymentNoted("I-1", "INV-2026-000001", 2_900)
REOPENED = InvoiceReopened("I-1", "INV-2026-000001", 1_200)
CREDITED = CreditNoteNoted("K-1", "CRN-2026-000001", "I-1", 900)

new = Scenario(order)
placed = new.given(PLACED)
held = placed.given(HELD)
confirmed = placed.given(CONFIRMED)
shipped = confirmed.given(SHIPPED)
paid = confirmed.given(INVOICED, PAID)
cancelling = confirmed.given(REQUESTED)
cancelled = cancelling.given(CANCELLED)
rejected = held.given(REJECTED)
completed = confirmed.given(SHIPPED, INVOICED, PAID, COMPLETED)


def note(progress: Noted) -> NoteProgress:
    return NoteProgress(progress)
