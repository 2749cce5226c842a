"""What the fields of public messages mean and in which unit they are: the words of the documents, in one place."""

UNITS = {
    "_minor": ("minor units", "Whole minor units of the currency (cents, pence); never a fraction."),
    "_bp": ("basis points", "Basis points: 2000 = 20 %."),
    "_days": ("days", "Whole days."),
    "_at": ("instant", "An instant with its zone (RFC 3339); we write UTC."),
    "_on": ("day", "A day of the calendar, YYYY-MM-DD."),
    "quantity": ("pieces", "Whole pieces, as the product is sold."),
    "quantity_delta": ("pieces", "Whole pieces, as the product is sold."),
}
"""Ending of a field's name → its unit, for programs and for people. `invoice_on` is no day: see `NO_UNIT`."""

NO_UNIT = frozenset({"invoice_on"})

MEANINGS = {
    "account": "The ledger account, such as 1200 (receivables).",
    "amount_minor": "The amount that this message is about.",
    "applied_minor": "What it takes off the amount due on the invoice.",
    "applied_on": "The day from which it counts: both the money or credit and the invoice are there.",
    "approved_by": "`policy`, or the name of the person who approved.",
    "available_minor": "What was left of the credit limit at that moment; negative when it was exceeded.",
    "base_minor": "The net amount that the tax is computed on.",
    "carrier": "Who carries the goods; empty when not known.",
    "complete": "Whether the whole order is now reserved or shipped.",
    "confirmed_at": "When the order was confirmed.",
    "country": "The customer's country, ISO 3166-1 alpha-2.",
    "credit_minor": "The credit side; 0 on a debit line.",
    "credit_note_id": "The credit note's identity.",
    "credited_minor": "What it leaves to the customer as credit.",
    "currency": "ISO 4217 alphabetic code of every amount in this message.",
    "customer_id": "The customer. It is the Kafka key wherever a message has one, so a customer's facts stay in order.",
    "debit_minor": "The debit side; 0 on a credit line.",
    "delivered_at": "When the goods arrived.",
    "description": "What the product is, for people.",
    "document": "The document that the entry books: an invoice, credit note, payment or write-off.",
    "due_on": "The last day on which payment is in time.",
    "entry_id": "The journal entry's identity.",
    "excess_minor": "By how much the order exceeds what was available.",
    "final": "Whether nothing of the order follows after this.",
    "invoice_id": "The invoice's identity.",
    "invoice_number": "The invoice's number as printed.",
    "invoice_on": "What triggers the invoice: `shipment` (one per shipment) or `confirmation` (one for all).",
    "issued_on": "The day printed on the document, in the issuer's zone.",
    "limit_minor": "The credit limit.",
    "line_no": "The number of the order line, from 1.",
    "lines": "The lines, at least one unless the type says otherwise.",
    "method": "How the money came: `transfer`, `card`, …",
    "name": "The customer's name, for people.",
    "net_minor": "Net of tax.",
    "number": "The document's number as printed, gapless within its series.",
    "open_minor": "What remains due on the invoice after this.",
    "order_id": "The order. The id is the sender's own; it makes repeats harmless.",
    "paid_on": "The value day of the money that closed the invoice.",
    "payment_id": "The payment. The id is the bank's or provider's; it makes repeats harmless.",
    "payment_terms_days": "How long after its issue an invoice is due.",
    "placed_at": "When the customer placed the order.",
    "posted_on": "The day on which the entry takes effect.",
    "prepaid": "Whether the order is paid before it is shipped, so that it needs no credit.",
    "quantity": "How many.",
    "quantity_delta": "How many more (positive) or less (negative) than the books said.",
    "reason": "Why: a code where the type lists codes, else words for people.",
    "reasons": "Why, in words for people.",
    "receipt_id": "The goods receipt. The id is the warehouse's; it makes repeats harmless.",
    "received_at": "When the goods came back.",
    "reference": "What the payer wrote; empty when nothing.",
    "restocked": "Whether the goods can be sold again.",
    "return_id": "The return; empty when there was none.",
    "reversed_on": "The day from which the write-off counts no more.",
    "series": "The number series: prefix and year of issue, such as INV-2026.",
    "ship_complete": "Whether nothing may ship before everything is reserved.",
    "shipment_id": "The shipment. The id is the warehouse's, unique within its order; it makes repeats harmless.",
    "shipped_at": "When the goods left the house.",
    "sku": "The product (stock keeping unit).",
    "source_id": "The payment or credit note whose money is used.",
    "tax_minor": "The tax, rounded half-up once per rate and document.",
    "tax_rate_bp": "The tax rate.",
    "taxes": "The tax per rate.",
    "total_minor": "Including tax.",
    "tracking": "The carrier's tracking number; empty when not known.",
    "unapplied_on": "The day from which the application no longer counts.",
    "unit_price_minor": "The price of one piece, net of tax.",
    "value_on": "The bank's value day.",
    "written_on": "The day from which the write-off counts.",
}
"""Field name → meaning. One word means one thing in all messages."""

SPECIAL_MEANINGS = {
    "CreditNoteIssued.total_minor": "What is credited, including tax; positive.",
    "InvoicePaid.total_minor": "The invoice's total, including tax.",
    "CashUnapplied.amount_minor": "What no longer pays the invoice.",
    "WriteOffReversed.source_id": "The payment or credit note for which it is reversed.",
    "JournalPosted.customer_id": "The customer whose account the entry belongs to.",
    "JournalPosted.order_id": "The order that led to it; empty when none did.",
    "JournalPosted.lines": "The sides of the entry; debits and credits sum to the same.",
    "Payment.order_id": "The order that a prepayment is for; empty when it names none.",
    "PaymentReceived.order_id": "The order that a prepayment is for; empty when it names none.",
    "Shipment.lines": "What left the house; empty: everything that is reserved for the order.",
    "Invoiced.shipment_id": "The shipment that it invoices; empty when it was triggered by the confirmation.",
    "Shipment.order_id": "The order that was shipped.",
}
"""`Class.field` → meaning, where one class means something narrower than the word does elsewhere."""


def meaning_of(kind: str, field: str) -> str:
    """What a field of a message or part says, unit included. KeyError for a field that nobody explained yet."""
    meaning = SPECIAL_MEANINGS.get(f"{kind}.{field}") or MEANINGS[field]
    unit = _unit(field)
    return f"{meaning} {unit[1]}" if unit else meaning


def unit_of(field: str) -> str | None:
    """The unit of a field, None when it has none: `minor units`, `basis points`, `days`, `instant`, `day`, `pieces`."""
    unit = _unit(field)
    return unit[0] if unit else None


def _unit(field: str) -> tuple[str, str] | None:
    if field in NO_UNIT:
        return None
    return next((unit for ending, unit in UNITS.items() if field.endswith(ending)), None)
