"""Invoices what was shipped or confirmed of one order and credits what came back. Stream: billing-{order_id}.

Promise: the invoices of a whole order sum to the order's total to the cent, per tax rate; nothing is invoiced beyond
what was ordered or credited beyond what was invoiced. What is heard too early is noted and done when it can be.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import assert_never

from services.billing.domain.billing_state import (
    Billing,
    BillingCancelled,
    BillingFact,
    BillingOpened,
    CreditDue,
    CreditNoteIssued,
    CreditRefused,
    Invoiced,
    InvoicingRefused,
    ReturnNoted,
    ShipmentNoted,
    evolve,
)
from services.billing.domain.documents import InvoiceLine, LineQuantity, order_taxes, taxes_of
from shared.errors import DomainError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command

INVOICE_PREFIX = "INV"
CREDIT_NOTE_PREFIX = "CRN"
"""Documents are numbered without gaps within prefix and year of issue: INV-2026-000001."""

# ---- Commands


class OpenBilling(Command, frozen=True, gc=False):
    """The order is confirmed and may be invoiced. `tax_minor`: the order's tax; `confirmed_on`: the issuer's day."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    tax_minor: int
    payment_terms_days: int
    invoice_on: str
    confirmed_on: date


class InvoiceShipment(Command, frozen=True, gc=False):
    """Goods left the house on this day of the issuer. Each line once."""

    order_id: str
    shipment_id: str
    lines: tuple[LineQuantity, ...]
    shipped_on: date


class CreditReturn(Command, frozen=True, gc=False):
    """Goods came back on this day of the issuer. Each line once."""

    order_id: str
    return_id: str
    lines: tuple[LineQuantity, ...]
    received_on: date


class CreditWaitingReturns(Command, frozen=True, gc=False):
    """Credit noted returns whose invoices are there now."""

    order_id: str


class CancelBilling(Command, frozen=True, gc=False):
    """The order was cancelled on this day of the issuer: credit whatever was invoiced."""

    order_id: str
    cancelled_on: date


BillingCommand = OpenBilling | InvoiceShipment | CreditReturn | CreditWaitingReturns | CancelBilling

# ---- Decisions


def decide(state: Billing, command: BillingCommand) -> Sequence[BillingFact]:
    match command:
        case OpenBilling():
            return _open(state, command) if state.phase == "unknown" else []
        case InvoiceShipment():
            return _invoice_shipment(state, command)
        case CreditReturn():
            return _credit_return(state, command)
        case CreditWaitingReturns():
            return _credit_waiting(state)
        case CancelBilling(order_id, cancelled_on):
            return _cancel(state, order_id, cancelled_on)
        case _:
            assert_never(command)


# ---- Invoicing


def _open(state: Billing, command: OpenBilling) -> Sequence[BillingFact]:
    opened = BillingOpened(
        command.order_id,
        command.customer_id,
        command.currency,
        command.lines,
        command.payment_terms_days,
        command.invoice_on,
    )
    tax_minor = sum([left.tax_minor for left in order_taxes(command.lines).values()])
    if tax_minor != command.tax_minor:
        raise DomainError(
            f"order {command.order_id} says tax {command.tax_minor}, its lines make {tax_minor}", code="tax_differs"
        )
    if command.invoice_on != "confirmation" and not state.noted:
        return [opened]
    return [opened, *_invoice_at_once(evolve(state, opened), command)]


def _invoice_at_once(state: Billing, command: OpenBilling) -> Sequence[BillingFact]:
    if command.invoice_on == "confirmation":
        return _then_credit(state, [_invoice(state, command.lines, command.confirmed_on, "")])
    facts: list[BillingFact] = []
    for noted in state.noted:
        outcome = _invoice_noted(state, noted)
        facts.append(outcome)
        state = evolve(state, outcome)
    return _then_credit(state, facts)


def _invoice_noted(state: Billing, noted: ShipmentNoted) -> Invoiced | InvoicingRefused:
    if _over_invoiced(state, noted.lines):
        return InvoicingRefused(noted.shipment_id, state.order_id, "over_invoiced")
    return _invoice(state, _priced(state, noted.lines), noted.shipped_on, noted.shipment_id)


def _invoice_shipment(state: Billing, command: InvoiceShipment) -> Sequence[BillingFact]:
    if command.shipment_id in state.shipments:
        return []
    match state.phase:
        case "unknown":
            return [ShipmentNoted(command.shipment_id, command.lines, command.shipped_on)]
        case "cancelled":
            raise DomainError(f"order {command.order_id} was cancelled", code="order_cancelled")
        case "open":
            return _invoice_open(state, command)
        case _:
            assert_never(state.phase)


def _invoice_open(state: Billing, command: InvoiceShipment) -> Sequence[BillingFact]:
    if state.invoice_on == "confirmation":
        return []
    over = _over_invoiced(state, command.lines)
    if over:
        raise DomainError(f"shipment {command.shipment_id} of order {command.order_id}: {over}", code="over_invoiced")
    invoice = _invoice(state, _priced(state, command.lines), command.shipped_on, command.shipment_id)
    return _then_credit(state, [invoice])


def _over_invoiced(state: Billing, lines: Iterable[LineQuantity]) -> str:
    """Which lines would be invoiced beyond what was ordered, for people; "" for none."""
    over = []
    for line in lines:
        known = state.lines.get(line.line_no)
        left = known.ordered - known.invoiced if known is not None else 0
        if line.quantity > left:
            over.append(f"line {line.line_no} has {line.quantity}, {left} may be invoiced")
    return "; ".join(over)


def _priced(state: Billing, lines: Iterable[LineQuantity]) -> tuple[InvoiceLine, ...]:
    """These quantities at the prices and tax rates of the order."""
    return tuple([_priced_line(state, line.line_no, line.quantity) for line in lines])


def _priced_line(state: Billing, line_no: int, quantity: int) -> InvoiceLine:
    line = state.lines[line_no]
    net_minor = quantity * line.unit_price_minor
    return InvoiceLine(line_no, line.sku, quantity, line.unit_price_minor, line.tax_rate_bp, net_minor)


def _invoice(state: Billing, lines: tuple[InvoiceLine, ...], issued_on: date, shipment_id: str) -> Invoiced:
    taxes = taxes_of(lines, state.left)
    net_minor = sum([line.net_minor for line in lines])
    tax_minor = sum([tax.tax_minor for tax in taxes])
    return Invoiced(
        invoice_id=f"{state.order_id}-I{len(state.invoices) + 1}",
        number="",
        series=f"{INVOICE_PREFIX}-{issued_on.year}",
        order_id=state.order_id,
        customer_id=state.customer_id,
        currency=state.currency,
        lines=lines,
        taxes=taxes,
        net_minor=net_minor,
        tax_minor=tax_minor,
        total_minor=net_minor + tax_minor,
        issued_on=issued_on,
        due_on=issued_on + timedelta(days=state.payment_terms_days),
        final=state.quantity_left == sum([line.quantity for line in lines]),
        shipment_id=shipment_id,
    )


def _then_credit(state: Billing, facts: list[BillingFact]) -> Sequence[BillingFact]:
    # A credit note names its invoice's number, which is taken when the invoice is stored: so it comes a step later.
    return [*facts, CreditDue(state.order_id)] if state.waiting else facts


# ---- Crediting


def _credit_return(state: Billing, command: CreditReturn) -> Sequence[BillingFact]:
    if command.return_id in state.returns or state.phase == "cancelled":
        return []  # what was invoiced of a cancelled order is credited already
    noted = ReturnNoted(command.return_id, command.lines, command.received_on)
    if state.phase == "unknown":
        return [noted]
    claims = _claims(state.waiting)
    over = _over_credited(state, command.lines, claims)
    if over:
        raise DomainError(f"return {command.return_id} of order {command.order_id}: {over}", code="over_credited")
    return _credit(state, noted, claims) or [noted]


def _over_credited(state: Billing, lines: Iterable[LineQuantity], claims: Mapping[int, int]) -> str:
    """Which lines could never be credited, for people; "" for none."""
    over = []
    for line in lines:
        known = state.lines.get(line.line_no)
        left = known.ordered - known.credited - claims.get(line.line_no, 0) if known is not None else 0
        if line.quantity > left:
            over.append(f"line {line.line_no} has {line.quantity}, {left} may be credited")
    return "; ".join(over)


def _credit_waiting(state: Billing) -> Sequence[BillingFact]:
    """Credit notes for returns whose invoices are there, in the order they were heard."""
    facts: list[BillingFact] = []
    claims: dict[int, int] = {}
    for noted in state.waiting:
        outcome = _credit_noted(state, noted, claims)
        if outcome:
            facts.extend(outcome)
            state = billing.fold(outcome, state)
        else:
            _claim(claims, noted.lines)
    return facts


def _credit_noted(state: Billing, noted: ReturnNoted, claims: Mapping[int, int]) -> Sequence[BillingFact]:
    if _over_credited(state, noted.lines, claims):
        return [CreditRefused(noted.return_id, state.order_id, "over_credited")]
    return _credit(state, noted, claims)


def _claims(waiting: Iterable[ReturnNoted]) -> dict[int, int]:
    """What earlier returns wait to have credited, by line."""
    claims: dict[int, int] = {}
    for noted in waiting:
        _claim(claims, noted.lines)
    return claims


def _claim(claims: dict[int, int], lines: Iterable[LineQuantity]) -> None:
    for line in lines:
        claims[line.line_no] = claims.get(line.line_no, 0) + line.quantity


def _credit(state: Billing, noted: ReturnNoted, claims: Mapping[int, int]) -> Sequence[BillingFact]:
    """One credit note per invoice, oldest first; none at all while invoices for a part are missing."""
    per_invoice: dict[str, list[InvoiceLine]] = {}
    for line in noted.lines:
        known = state.lines.get(line.line_no)
        if known is None or line.quantity > known.invoiced - known.credited - claims.get(line.line_no, 0):
            return []
        left = line.quantity
        for portion in known.portions:
            if not left:
                break
            taken = min(left, portion.quantity)
            per_invoice.setdefault(portion.invoice_id, []).append(_priced_line(state, line.line_no, taken))
            left -= taken
    return _credit_notes(state, per_invoice, noted.received_on, "returned", noted.return_id)


def _cancel(state: Billing, order_id: str, cancelled_on: date) -> Sequence[BillingFact]:
    if state.phase == "cancelled":
        return []
    per_invoice: dict[str, list[InvoiceLine]] = {}
    for line_no, line in sorted(state.lines.items()):
        for portion in line.portions:
            priced = _priced_line(state, line_no, portion.quantity)
            per_invoice.setdefault(portion.invoice_id, []).append(priced)
    notes = _credit_notes(state, per_invoice, cancelled_on, "order_cancelled", "")
    return [BillingCancelled(order_id), *notes]


def _credit_notes(
    state: Billing, per_invoice: Mapping[str, Sequence[InvoiceLine]], on: date, reason: str, return_id: str
) -> Sequence[BillingFact]:
    oldest_first = sorted(per_invoice, key=lambda invoice_id: state.invoices[invoice_id].count)
    return [
        _credit_note(state, state.credit_notes + i, invoice_id, tuple(per_invoice[invoice_id]), on, reason, return_id)
        for i, invoice_id in enumerate(oldest_first, 1)
    ]


def _credit_note(
    state: Billing,
    count: int,
    invoice_id: str,
    lines: tuple[InvoiceLine, ...],
    on: date,
    reason: str,
    return_id: str,
) -> CreditNoteIssued:
    invoice = state.invoices[invoice_id]
    taxes = taxes_of(lines, invoice.left)
    net_minor = sum([line.net_minor for line in lines])
    tax_minor = sum([tax.tax_minor for tax in taxes])
    issued_on = max(on, invoice.issued_on)  # a return may be heard, and dated, before its invoice
    return CreditNoteIssued(
        credit_note_id=f"{state.order_id}-C{count}",
        number="",
        series=f"{CREDIT_NOTE_PREFIX}-{issued_on.year}",
        invoice_id=invoice_id,
        invoice_number=invoice.number,
        order_id=state.order_id,
        customer_id=state.customer_id,
        currency=state.currency,
        lines=lines,
        taxes=taxes,
        net_minor=net_minor,
        tax_minor=tax_minor,
        total_minor=net_minor + tax_minor,
        issued_on=issued_on,
        reason=reason,
        return_id=return_id,
    )


billing: Decider[Billing, BillingCommand, BillingFact] = Decider(
    name="billing",
    initial=Billing(),
    decide=decide,
    evolve=evolve,
    facts=(
        BillingOpened,
        ShipmentNoted,
        InvoicingRefused,
        Invoiced,
        ReturnNoted,
        CreditRefused,
        CreditDue,
        CreditNoteIssued,
        BillingCancelled,
    ),
)
