"""What the world hears of billing: its numbered documents. What is noted and waits stays private."""

from collections.abc import Iterable

from services.billing.domain import billing_state as own
from services.billing.domain import documents
from shared.contracts import billing as public
from shared.eventsourced.publishing import Publishing, Says


def _lines(lines: Iterable[documents.InvoiceLine]) -> tuple[public.InvoiceLine, ...]:
    return tuple(
        [
            public.InvoiceLine(
                line.line_no, line.sku, line.quantity, line.unit_price_minor, line.tax_rate_bp, line.net_minor
            )
            for line in lines
        ]
    )


def _taxes(taxes: Iterable[documents.TaxLine]) -> tuple[public.TaxLine, ...]:
    return tuple([public.TaxLine(tax.tax_rate_bp, tax.base_minor, tax.tax_minor) for tax in taxes])


def _invoiced(fact: own.Invoiced) -> public.Invoiced:
    return public.Invoiced(
        invoice_id=fact.invoice_id,
        number=fact.number,
        series=fact.series,
        order_id=fact.order_id,
        customer_id=fact.customer_id,
        currency=fact.currency,
        lines=_lines(fact.lines),
        taxes=_taxes(fact.taxes),
        net_minor=fact.net_minor,
        tax_minor=fact.tax_minor,
        total_minor=fact.total_minor,
        issued_on=fact.issued_on,
        due_on=fact.due_on,
        final=fact.final,
        shipment_id=fact.shipment_id,
    )


def _credit_note_issued(fact: own.CreditNoteIssued) -> public.CreditNoteIssued:
    return public.CreditNoteIssued(
        credit_note_id=fact.credit_note_id,
        number=fact.number,
        series=fact.series,
        invoice_id=fact.invoice_id,
        invoice_number=fact.invoice_number,
        order_id=fact.order_id,
        customer_id=fact.customer_id,
        currency=fact.currency,
        lines=_lines(fact.lines),
        taxes=_taxes(fact.taxes),
        net_minor=fact.net_minor,
        tax_minor=fact.tax_minor,
        total_minor=fact.total_minor,
        issued_on=fact.issued_on,
        reason=fact.reason,
        return_id=fact.return_id,
    )


SAYS: Publishing = {
    own.Invoiced: Says(public.Invoiced, _invoiced),
    own.CreditNoteIssued: Says(public.CreditNoteIssued, _credit_note_issued),
}
