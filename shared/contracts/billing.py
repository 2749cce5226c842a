"""What the billing service says on `o2c.billing.events`: invoices and credit notes, numbered without gaps."""

from datetime import date

from shared.contracts.messages import Message, Speaker
from shared.values import Value

BILLING = Speaker("billing", "o2c.billing.events")


class InvoiceLine(Value, frozen=True, gc=False):
    """One line as invoiced or credited; `net_minor` = quantity × unit price, net of tax."""

    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int
    net_minor: int


class TaxLine(Value, frozen=True, gc=False):
    """The tax of one rate: base and tax in minor units; the rate in basis points."""

    tax_rate_bp: int
    base_minor: int
    tax_minor: int


@BILLING.says()
class Invoiced(Message, frozen=True, gc=False):
    """A final invoice. `number` is gapless in its `series` (prefix and year); days are days of the issuer's zone."""

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


@BILLING.says()
class CreditNoteIssued(Message, frozen=True, gc=False):
    """Part or all of an invoice is taken back, at the invoice's own prices and tax rates. Amounts are positive."""

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
