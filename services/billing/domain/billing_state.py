"""What is invoiced and credited of one order, and what that adds up to: the facts and state of `billing`."""

from collections.abc import Sequence
from datetime import date
from typing import Literal, assert_never

from services.billing.domain.documents import (
    InvoiceLine,
    LineQuantity,
    TaxLeft,
    TaxLine,
    order_taxes,
    taxes_left,
)
from shared.eventsourced.facts import Fact, State, fact
from shared.values import Map, Value, evolved

# ---- Facts


@fact("billing.BillingOpened")
class BillingOpened(Fact, frozen=True, gc=False):
    """The confirmed order is known: `lines` are what may be invoiced in all, at its prices and tax rates."""

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    payment_terms_days: int
    invoice_on: str


@fact("billing.ShipmentNoted")
class ShipmentNoted(Fact, frozen=True, gc=False):
    """A shipment was heard before the order; it is invoiced once the order is known."""

    shipment_id: str
    lines: tuple[LineQuantity, ...]
    shipped_on: date


@fact("billing.InvoicingRefused")
class InvoicingRefused(Fact, frozen=True, gc=False):
    """A noted shipment has more than was ordered, so nothing of it is invoiced. `reason`: `over_invoiced`."""

    shipment_id: str
    order_id: str
    reason: str


@fact("billing.Invoiced")
class Invoiced(Fact, frozen=True, gc=False):
    """A final invoice; its `number` is taken when it is stored. `final`: nothing of the order is left to invoice."""

    invoice_id: str
    number: str
    series: str
    order_id: str
    customer_id: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    taxes: tuple[TaxLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date
    due_on: date
    final: bool
    shipment_id: str = ""


@fact("billing.ReturnNoted")
class ReturnNoted(Fact, frozen=True, gc=False):
    """A return was heard before the invoices it takes back; it is credited once they are issued."""

    return_id: str
    lines: tuple[LineQuantity, ...]
    received_on: date


@fact("billing.CreditRefused")
class CreditRefused(Fact, frozen=True, gc=False):
    """A noted return has more than was ordered, so nothing of it is credited. `reason`: `over_credited`."""

    return_id: str
    order_id: str
    reason: str


@fact("billing.CreditDue")
class CreditDue(Fact, frozen=True, gc=False):
    """Invoices were issued that returns were waiting for. They are credited next, as they have their numbers now."""

    order_id: str


@fact("billing.CreditNoteIssued")
class CreditNoteIssued(Fact, frozen=True, gc=False):
    """Part or all of an invoice is taken back at its own prices and tax rates; the `number` is taken when stored.

    `reason`: `returned` or `order_cancelled`.
    """

    credit_note_id: str
    number: str
    series: str
    invoice_id: str
    invoice_number: str
    order_id: str
    customer_id: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    taxes: tuple[TaxLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date
    reason: str
    return_id: str = ""


@fact("billing.BillingCancelled")
class BillingCancelled(Fact, frozen=True, gc=False):
    """The order ended: nothing more is invoiced, and what was invoiced is credited."""

    order_id: str


BillingFact = (
    BillingOpened
    | ShipmentNoted
    | InvoicingRefused
    | Invoiced
    | ReturnNoted
    | CreditRefused
    | CreditDue
    | CreditNoteIssued
    | BillingCancelled
)

# ---- State

Phase = Literal["unknown", "open", "cancelled"]


class Portion(Value, frozen=True, gc=False):
    """What an invoice has of a line and no credit note took back."""

    invoice_id: str
    quantity: int


class BilledLine(State, frozen=True, gc=False):
    """How far one line has come. `portions`: what can still be credited, oldest invoice first."""

    sku: str
    unit_price_minor: int
    tax_rate_bp: int
    ordered: int
    invoiced: int = 0
    credited: int = 0
    portions: tuple[Portion, ...] = ()


class Invoice(State, frozen=True, gc=False):
    """What a credit note must know of an invoice. `count`: 1 for the order's first; `left`: what is not credited."""

    number: str
    count: int
    issued_on: date
    left: Map[int, TaxLeft]


class Billing(State, frozen=True, gc=False):
    """How far the order is invoiced. `left`: base and tax not yet invoiced, per rate; `quantity_left`: likewise.

    `shipments`: ids that were heard, `noted` those still to be invoiced; `returns` and `waiting` likewise of returns.
    """

    phase: Phase = "unknown"
    order_id: str = ""
    customer_id: str = ""
    currency: str = ""
    payment_terms_days: int = 0
    invoice_on: str = "shipment"
    lines: Map[int, BilledLine] = Map()
    left: Map[int, TaxLeft] = Map()
    quantity_left: int = 0
    invoices: Map[str, Invoice] = Map()
    credit_notes: int = 0
    shipments: Map[str, bool] = Map()
    noted: tuple[ShipmentNoted, ...] = ()
    returns: Map[str, bool] = Map()
    waiting: tuple[ReturnNoted, ...] = ()


def evolve(state: Billing, happened: BillingFact) -> Billing:
    match happened:
        case BillingOpened():
            return _opened(state, happened)
        case Invoiced():
            return _invoiced(state, happened)
        case CreditNoteIssued():
            return _credited(state, happened)
        case ShipmentNoted(shipment_id):
            shipments = state.shipments.set(shipment_id, True)
            return evolved(state, shipments=shipments, noted=(*state.noted, happened))
        case InvoicingRefused(shipment_id):
            return evolved(state, noted=_without_shipment(state.noted, shipment_id))
        case ReturnNoted(return_id):
            returns = state.returns.set(return_id, True)
            return evolved(state, returns=returns, waiting=(*state.waiting, happened))
        case CreditRefused(return_id):
            return evolved(state, waiting=_without_return(state.waiting, return_id))
        case BillingCancelled(order_id):
            return evolved(state, phase="cancelled", order_id=order_id, noted=(), waiting=())
        case CreditDue():
            return state
        case _:
            assert_never(happened)


def _opened(state: Billing, happened: BillingOpened) -> Billing:
    lines = {
        line.line_no: BilledLine(line.sku, line.unit_price_minor, line.tax_rate_bp, line.quantity)
        for line in happened.lines
    }
    return evolved(
        state,
        phase="open",
        order_id=happened.order_id,
        customer_id=happened.customer_id,
        currency=happened.currency,
        payment_terms_days=happened.payment_terms_days,
        invoice_on=happened.invoice_on,
        lines=Map(lines),
        left=order_taxes(happened.lines),
        quantity_left=sum([line.quantity for line in happened.lines]),
    )


def _invoiced(state: Billing, happened: Invoiced) -> Billing:
    lines = state.lines
    for line in happened.lines:
        known, portion = lines[line.line_no], Portion(happened.invoice_id, line.quantity)
        more = evolved(known, invoiced=known.invoiced + line.quantity, portions=(*known.portions, portion))
        lines = lines.set(line.line_no, more)
    left = Map({tax.tax_rate_bp: TaxLeft(tax.base_minor, tax.tax_minor) for tax in happened.taxes})
    invoice = Invoice(happened.number, len(state.invoices) + 1, happened.issued_on, left)
    shipment_id = happened.shipment_id
    return evolved(
        state,
        lines=lines,
        left=taxes_left(state.left, happened.taxes),
        quantity_left=state.quantity_left - sum([line.quantity for line in happened.lines]),
        invoices=state.invoices.set(happened.invoice_id, invoice),
        shipments=state.shipments.set(shipment_id, True) if shipment_id else state.shipments,
        noted=_without_shipment(state.noted, shipment_id),
    )


def _credited(state: Billing, happened: CreditNoteIssued) -> Billing:
    lines, invoice = state.lines, state.invoices[happened.invoice_id]
    for line in happened.lines:
        known = lines[line.line_no]
        portions = _without_portion(known.portions, happened.invoice_id, line.quantity)
        lines = lines.set(line.line_no, evolved(known, credited=known.credited + line.quantity, portions=portions))
    rest = evolved(invoice, left=taxes_left(invoice.left, happened.taxes))
    return_id = happened.return_id
    return evolved(
        state,
        lines=lines,
        invoices=state.invoices.set(happened.invoice_id, rest),
        credit_notes=state.credit_notes + 1,
        returns=state.returns.set(return_id, True) if return_id else state.returns,
        waiting=_without_return(state.waiting, return_id),
    )


def _without_shipment(noted: tuple[ShipmentNoted, ...], shipment_id: str) -> tuple[ShipmentNoted, ...]:
    return noted and tuple([shipment for shipment in noted if shipment.shipment_id != shipment_id])


def _without_return(waiting: tuple[ReturnNoted, ...], return_id: str) -> tuple[ReturnNoted, ...]:
    return waiting and tuple([noted for noted in waiting if noted.return_id != return_id])


def _without_portion(portions: Sequence[Portion], invoice_id: str, quantity: int) -> tuple[Portion, ...]:
    """The portions with this much less of one invoice; a portion with nothing left is dropped."""
    rest = [
        Portion(invoice_id, portion.quantity - quantity) if portion.invoice_id == invoice_id else portion
        for portion in portions
    ]
    return tuple([portion for portion in rest if portion.quantity])
