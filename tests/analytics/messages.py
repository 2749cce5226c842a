"""The public messages of one order's whole life, as analytics hears them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.contracts import billing, credit, fulfillment, orders, receivables
from shared.contracts.messages import contract_of
from shared.eventsourced.policy import Heard

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ISSUED, DUE, PAID = date(2026, 3, 2), date(2026, 4, 1), date(2026, 3, 10)

Said = tuple[Any, Heard]


def said(message: Any, number: int, minutes: int) -> Said:
    """A message with its envelope; `number` makes its identity, `minutes` after the beginning it was said."""
    contract = contract_of(type(message))
    subject = f"{contract.speaker}-{getattr(message, contract.subject)}"
    at = BEGIN + timedelta(minutes=minutes)
    return message, Heard(f"{subject}@{number}", contract.name, at, subject=subject)


def story_of(order_id: str = "O-1", customer_id: str = "C-1") -> list[Said]:
    """One order: held, shipped in two parts, invoiced twice, partly returned, paid, with one mistake undone, and
    a rest that was written off paid after all.
    """
    messages = (
        *_ordered(order_id, customer_id),
        *_delivered(order_id, customer_id),
        *_billed(order_id, customer_id),
        *_paid(order_id, customer_id),
    )
    return [said(message, number, 10 * number) for number, message in enumerate(messages, 1)]


def _ordered(o: str, c: str) -> list[Any]:
    line = (orders.OrderLine(1, "SKU-1", 2, 50_00, 2000),)
    amounts = (100_00, 20_00, 120_00)
    return [
        orders.OrderPlaced(o, c, "EUR", line, *amounts, BEGIN),
        credit.CreditReferred(o, c, 120_00, "EUR", "limit_exceeded", 1_00),
        orders.OrderHeld(o, c, "credit_referred"),
        credit.CreditDeclined(o, c, 120_00, "EUR", "limit_exceeded", 5_00),
        credit.CreditApproved(o, c, 120_00, "EUR", "Ada"),
        orders.OrderReleased(o, c),
        orders.OrderConfirmed(o, c, "EUR", line, *amounts, BEGIN),
        orders.OrderCancellationRequested(o, c, "changed my mind"),
    ]


def _delivered(o: str, c: str) -> list[Any]:
    one = (fulfillment.LineQuantity(1, "SKU-1", 1),)
    return [
        fulfillment.StockReserved(o, c, one, complete=False),
        fulfillment.Backordered(o, c, one),
        fulfillment.StockReserved(o, c, one, complete=True),
        fulfillment.Shipped(f"{o}-S1", o, c, one, BEGIN, final=False),
        fulfillment.CancellationRefused(o, c, "shipped"),
        fulfillment.Shipped(f"{o}-S2", o, c, one, BEGIN, final=True),
        fulfillment.Delivered(f"{o}-S1", o, c, BEGIN),
        fulfillment.ReturnAuthorized(f"{o}-R1", o, c, one, "too small"),
        fulfillment.ReturnReceived(f"{o}-R1", o, c, one, BEGIN, restocked=True),
    ]


def _billed(o: str, c: str) -> list[Any]:
    line = (billing.InvoiceLine(1, "SKU-1", 1, 50_00, 2000, 50_00),)
    tax = (billing.TaxLine(2000, 50_00, 10_00),)
    amounts = (50_00, 10_00, 60_00)

    def invoice(n: int, final: bool) -> Any:
        ids = (f"{o}-{n}", f"INV-{o}-{n}", "INV-2026", o, c, "EUR")
        return billing.Invoiced(*ids, line, tax, *amounts, ISSUED, DUE, final)

    ids = (f"{o}-R1", f"CRN-{o}-1", "CRN-2026", f"{o}-2", f"INV-{o}-2", o, c, "EUR")
    back = billing.CreditNoteIssued(*ids, line, tax, *amounts, date(2026, 3, 8), "too small")
    return [invoice(1, False), invoice(2, True), back]


def _paid(o: str, c: str) -> list[Any]:
    def about(n: int) -> tuple[str, str, str, str]:
        return (f"{o}-{n}", f"INV-{o}-{n}", o, c)

    payment_id = f"{o}-P1"
    sides = (receivables.JournalLine("1000", 59_00, 0), receivables.JournalLine("2100", 0, 59_00))
    back_on = date(2026, 3, 8)
    return [
        receivables.CreditNoteBooked(f"{o}-R1", *about(2), 60_00, 0, "EUR", back_on),
        receivables.InvoicePaid(*about(2), 60_00, "EUR", back_on),
        receivables.PaymentReceived(payment_id, c, 59_00, "EUR", PAID, "card", "", o),
        receivables.CashApplied(payment_id, *about(1), 40_00, "EUR", 20_00, PAID),
        receivables.CashUnapplied(payment_id, *about(1), 40_00, "EUR", 60_00, PAID),
        receivables.CashApplied(payment_id, *about(1), 59_00, "EUR", 1_00, PAID),
        receivables.WrittenOff(*about(1), 1_00, "EUR", "small_difference", PAID),
        receivables.InvoicePaid(*about(1), 60_00, "EUR", PAID),
        receivables.JournalPosted(f"J-{c}-{o}", c, PAID, "EUR", payment_id, sides, o),
        orders.OrderCompleted(o, c, "EUR", 120_00),
        receivables.WriteOffReversed(*about(1), 1_00, "EUR", 1_00, "cash_applied", f"{o}-P2", PAID),
        receivables.CashApplied(f"{o}-P2", *about(1), 1_00, "EUR", 0, PAID),
        receivables.InvoicePaid(*about(1), 60_00, "EUR", PAID),
    ]


def masters(customer_id: str = "C-1", sku: str = "SKU-1") -> list[Said]:
    """A customer and a product with their changes."""
    c = customer_id
    messages = (
        orders.CustomerRegistered(c, "Old name", "DE", "EUR"),
        orders.CustomerChanged(c, "New name", "AT", "EUR", 14),
        credit.CreditAccountOpened(c, 1_000_00, "EUR"),
        credit.CreditLimitSet(c, 2_000_00, "EUR"),
        credit.AccountHeld(c, "late"),
        credit.AccountReleased(c),
        orders.ProductListed(sku, "A thing", 50_00, "EUR", 2000),
        orders.PriceChanged(sku, 55_00, "EUR"),
        fulfillment.StockReceived(sku, 10, "R-1"),
        fulfillment.StockAdjusted(sku, -2, "count"),
    )
    return [said(message, number, number) for number, message in enumerate(messages, 1)]


def ends(order_id: str = "O-2", customer_id: str = "C-1") -> list[Said]:
    """What is said about orders that end early."""
    o, c = order_id, customer_id
    messages = (
        orders.OrderRejected(o, c, ("no credit", "not known")),
        fulfillment.ReservationReleased(o, c, "cancelled"),
        orders.OrderCancelled(o, c, "cancelled"),
        credit.CreditReleased(o, c, 120_00, "EUR"),
    )
    return [said(message, number, number) for number, message in enumerate(messages, 1)]
