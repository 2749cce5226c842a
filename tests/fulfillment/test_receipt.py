"""Receipts and adjustments are taken in once, for ever."""

from services.fulfillment.domain.adjustment import AdjustmentRegistered, RegisterAdjustment, adjustment
from services.fulfillment.domain.receipt import ReceiptRegistered, RegisterReceipt, receipt
from shared.errors import ConflictError
from shared.eventsourced.testing import Scenario

receipts = Scenario(receipt)
adjustments = Scenario(adjustment)


def test_a_receipt_is_registered() -> None:
    receipts.when(RegisterReceipt("R-1", "A", 5)).then(ReceiptRegistered("R-1", "A", 5))


def test_a_receipt_said_again_changes_nothing() -> None:
    receipts.given(ReceiptRegistered("R-1", "A", 5)).when(RegisterReceipt("R-1", "A", 5)).then_nothing()


def test_a_receipt_with_other_content_is_a_conflict() -> None:
    known = receipts.given(ReceiptRegistered("R-1", "A", 5))
    known.when(RegisterReceipt("R-1", "A", 6)).then_refuses(ConflictError, "conflict")
    known.when(RegisterReceipt("R-1", "B", 5)).then_refuses(ConflictError, "conflict")


def test_an_adjustment_is_registered() -> None:
    adjustments.when(RegisterAdjustment("A-1", "A", -5, "lost")).then(AdjustmentRegistered("A-1", "A", -5, "lost"))


def test_an_adjustment_said_again_changes_nothing() -> None:
    known = adjustments.given(AdjustmentRegistered("A-1", "A", -5, "lost"))
    known.when(RegisterAdjustment("A-1", "A", -5, "lost")).then_nothing()


def test_an_adjustment_with_other_content_is_a_conflict() -> None:
    known = adjustments.given(AdjustmentRegistered("A-1", "A", -5, "lost"))
    for other in (("B", -5, "lost"), ("A", 5, "lost"), ("A", -5, "found")):
        known.when(RegisterAdjustment("A-1", *other)).then_refuses(ConflictError, "conflict")
