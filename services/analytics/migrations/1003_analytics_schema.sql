-- The schema `analytics`, for people and tools that ask in SQL: views with comments, and who may read them.
-- Named columns and stable meanings live here; the tables below may change with any release.

CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS
    'The order-to-cash cycle for SQL. Amounts are whole minor units (cents, pence); *_at are instants, *_on are days.';


CREATE VIEW analytics.customers AS
SELECT customer_id, country, currency, payment_terms_days, registered_at, credit_limit_minor, credit_currency,
       coalesce(held, false) AS held
FROM public.customers;
COMMENT ON VIEW analytics.customers IS
    'Customers as they are now, without their names.';
COMMENT ON COLUMN analytics.customers.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.customers.country IS 'ISO 3166-1 alpha-2 code.';
COMMENT ON COLUMN analytics.customers.currency IS 'ISO 4217 code in which they are charged.';
COMMENT ON COLUMN analytics.customers.payment_terms_days IS 'Days from the issue of an invoice until it is due.';
COMMENT ON COLUMN analytics.customers.registered_at IS 'When they were registered, UTC.';
COMMENT ON COLUMN analytics.customers.credit_limit_minor IS 'What they may owe, minor units of `credit_currency`.';
COMMENT ON COLUMN analytics.customers.credit_currency IS 'ISO 4217 code of the credit account.';
COMMENT ON COLUMN analytics.customers.held IS 'Whether their new orders are held, whatever the limit.';

CREATE VIEW analytics.products AS
SELECT sku, description, unit_price_minor, currency, tax_rate_bp,
       coalesce(received_quantity, 0) AS received_quantity, coalesce(adjusted_quantity, 0) AS adjusted_quantity
FROM public.products;
COMMENT ON VIEW analytics.products IS
    'Products as they are now.';
COMMENT ON COLUMN analytics.products.sku IS 'The product.';
COMMENT ON COLUMN analytics.products.description IS 'What it is, for people.';
COMMENT ON COLUMN analytics.products.unit_price_minor IS 'List price of a piece net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.products.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.products.tax_rate_bp IS 'Tax rate in basis points: 2000 = 20 %.';
COMMENT ON COLUMN analytics.products.received_quantity IS 'Pieces that ever came in.';
COMMENT ON COLUMN analytics.products.adjusted_quantity IS 'Pieces that counts found more (or less, negative).';

CREATE VIEW analytics.orders AS
SELECT c.order_id, c.customer_id, c.currency,
       coalesce(CASE
           WHEN c.completed_at IS NOT NULL THEN 'completed'
           WHEN c.cancelled_at IS NOT NULL THEN 'cancelled'
           WHEN c.rejected_at IS NOT NULL THEN 'rejected'
           WHEN c.invoiced_at IS NOT NULL THEN 'invoiced'
           WHEN c.shipped_at IS NOT NULL THEN 'shipped'
           WHEN c.reserved_at IS NOT NULL THEN 'reserved'
           WHEN c.backordered_at IS NOT NULL THEN 'backordered'
           WHEN c.confirmed_at IS NOT NULL THEN 'confirmed'
           WHEN c.held_at IS NOT NULL THEN 'held'
           WHEN c.placed_at IS NOT NULL THEN 'placed'
       END, 'unknown') AS status,
       p.ordered_at, p.prepaid, p.payment_terms_days, c.placed_at, c.held_at, c.credit_approved_at, c.confirmed_at,
       c.backordered_at, c.reserved_at, c.shipped_at, c.invoiced_at,
       CASE WHEN c.closed_invoices >= coalesce(c.invoices, 0) THEN c.paid_at END AS paid_at,
       c.completed_at, c.cancelled_at, c.rejected_at,
       p.net_minor, p.tax_minor, coalesce(c.ordered_minor, 0) AS total_minor,
       coalesce(c.invoiced_minor, 0) AS invoiced_minor, coalesce(c.credited_minor, 0) AS credited_minor,
       coalesce(c.paid_minor, 0) AS paid_minor, coalesce(c.written_off_minor, 0) AS written_off_minor,
       coalesce(c.invoices, 0) AS invoices, coalesce(c.closed_invoices, 0) AS closed_invoices
FROM public.order_cycle c LEFT JOIN public.placed_orders p USING (order_id);
COMMENT ON VIEW analytics.orders IS
    'One row per order: how far it has come, when, and its amounts.';
COMMENT ON COLUMN analytics.orders.order_id IS 'The order.';
COMMENT ON COLUMN analytics.orders.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.orders.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.orders.status IS
    'The furthest stage reached: placed, held, confirmed, backordered, reserved, shipped, invoiced, or the end: completed, cancelled, rejected.';
COMMENT ON COLUMN analytics.orders.ordered_at IS 'When the customer ordered, UTC; years ago for imported orders.';
COMMENT ON COLUMN analytics.orders.prepaid IS 'Whether it is paid before it is shipped.';
COMMENT ON COLUMN analytics.orders.payment_terms_days IS 'Days from the issue of its invoices until they are due.';
COMMENT ON COLUMN analytics.orders.placed_at IS
    'When the system took it, UTC; like all stages below an instant of recording.';
COMMENT ON COLUMN analytics.orders.held_at IS 'When it was first held for credit, UTC.';
COMMENT ON COLUMN analytics.orders.credit_approved_at IS 'When credit was approved, UTC.';
COMMENT ON COLUMN analytics.orders.confirmed_at IS 'When it was confirmed, UTC.';
COMMENT ON COLUMN analytics.orders.backordered_at IS 'When stock was first short, UTC.';
COMMENT ON COLUMN analytics.orders.reserved_at IS 'When all of it was reserved, UTC.';
COMMENT ON COLUMN analytics.orders.shipped_at IS 'When its first shipment was reported, UTC.';
COMMENT ON COLUMN analytics.orders.invoiced_at IS 'When its first invoice was issued, UTC.';
COMMENT ON COLUMN analytics.orders.paid_at IS
    'When the last of its invoices was closed, UTC; null while one is open, again or still.';
COMMENT ON COLUMN analytics.orders.completed_at IS 'When everything was shipped, invoiced and paid, UTC.';
COMMENT ON COLUMN analytics.orders.cancelled_at IS 'When it was cancelled, UTC.';
COMMENT ON COLUMN analytics.orders.rejected_at IS 'When a person rejected it, UTC.';
COMMENT ON COLUMN analytics.orders.net_minor IS 'Ordered net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.tax_minor IS 'Tax on what was ordered, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.total_minor IS 'Ordered including tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.invoiced_minor IS 'Invoiced so far including tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.credited_minor IS 'Credit notes including tax, minor units of `currency`; positive.';
COMMENT ON COLUMN analytics.orders.paid_minor IS 'Money applied to its invoices, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.written_off_minor IS 'Given up on its invoices, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.invoices IS 'How many invoices it has.';
COMMENT ON COLUMN analytics.orders.closed_invoices IS 'On how many of them nothing is due.';

CREATE VIEW analytics.order_lines AS
SELECT p.order_id, (l ->> 0)::integer AS line_no, l ->> 1 AS sku, (l ->> 2)::bigint AS quantity,
       (l ->> 3)::bigint AS unit_price_minor, (l ->> 4)::integer AS tax_rate_bp,
       (l ->> 2)::numeric * (l ->> 3)::numeric AS net_minor, p.currency, p.customer_id, p.ordered_at, p.recorded_at
FROM public.placed_orders p, json_array_elements(p.lines) l;
COMMENT ON VIEW analytics.order_lines IS
    'One row per line as ordered.';
COMMENT ON COLUMN analytics.order_lines.order_id IS 'The order.';
COMMENT ON COLUMN analytics.order_lines.line_no IS 'The number of the line, from 1.';
COMMENT ON COLUMN analytics.order_lines.sku IS 'The product.';
COMMENT ON COLUMN analytics.order_lines.quantity IS 'Pieces.';
COMMENT ON COLUMN analytics.order_lines.unit_price_minor IS 'Price of a piece net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.order_lines.tax_rate_bp IS 'Tax rate in basis points: 2000 = 20 %.';
COMMENT ON COLUMN analytics.order_lines.net_minor IS 'Quantity × unit price, net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.order_lines.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.order_lines.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.order_lines.ordered_at IS 'When the customer ordered, UTC.';
COMMENT ON COLUMN analytics.order_lines.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.shipments AS
SELECT shipment_id, order_id, customer_id, carrier, tracking, final, shipped_at, delivered_at, recorded_at
FROM public.shipments;
COMMENT ON VIEW analytics.shipments IS
    'One row per shipment.';
COMMENT ON COLUMN analytics.shipments.shipment_id IS 'The shipment.';
COMMENT ON COLUMN analytics.shipments.order_id IS 'The order.';
COMMENT ON COLUMN analytics.shipments.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.shipments.carrier IS 'Who carries it; empty when not known.';
COMMENT ON COLUMN analytics.shipments.tracking IS 'The carrier''s number; empty when not known.';
COMMENT ON COLUMN analytics.shipments.final IS 'Whether nothing of the order remains to be shipped.';
COMMENT ON COLUMN analytics.shipments.shipped_at IS 'When the goods left the house, UTC.';
COMMENT ON COLUMN analytics.shipments.delivered_at IS 'When they arrived, UTC; null until the carrier says so.';
COMMENT ON COLUMN analytics.shipments.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.shipment_lines AS
SELECT s.shipment_id, s.order_id, (l ->> 0)::integer AS line_no, l ->> 1 AS sku, (l ->> 2)::bigint AS quantity,
       s.shipped_at
FROM public.shipments s, json_array_elements(s.lines) l;
COMMENT ON VIEW analytics.shipment_lines IS
    'One row per order line in a shipment.';
COMMENT ON COLUMN analytics.shipment_lines.shipment_id IS 'The shipment.';
COMMENT ON COLUMN analytics.shipment_lines.order_id IS 'The order.';
COMMENT ON COLUMN analytics.shipment_lines.line_no IS 'The line of the order.';
COMMENT ON COLUMN analytics.shipment_lines.sku IS 'The product.';
COMMENT ON COLUMN analytics.shipment_lines.quantity IS 'Pieces that left.';
COMMENT ON COLUMN analytics.shipment_lines.shipped_at IS 'When they left the house, UTC.';

CREATE VIEW analytics.invoices AS
SELECT b.bill_id AS invoice_id, b.number, b.order_id, b.customer_id, nullif(b.shipment_id, '') AS shipment_id,
       b.currency, b.net_minor, b.tax_minor, b.total_minor, b.issued_on, b.due_on, b.final,
       coalesce(m.applied_minor, 0) AS applied_minor, coalesce(m.credited_minor, 0) AS credited_minor,
       coalesce(m.written_off_minor, 0) AS written_off_minor, coalesce(m.open_minor, b.total_minor) AS open_minor,
       CASE WHEN m.open_minor = 0 THEN m.last_on END AS paid_on, b.recorded_at
FROM public.bills b
LEFT JOIN (
    SELECT invoice_id, sum(amount_minor) AS open_minor, max(effective_on) AS last_on,
           -sum(amount_minor) FILTER (WHERE kind IN ('applied', 'unapplied')) AS applied_minor,
           -sum(amount_minor) FILTER (WHERE kind = 'credited') AS credited_minor,
           -sum(amount_minor) FILTER (WHERE kind = 'written_off') AS written_off_minor
    FROM public.receivable_movements GROUP BY invoice_id
) m ON m.invoice_id = b.bill_id
WHERE b.kind = 'invoice';
COMMENT ON VIEW analytics.invoices IS
    'One row per invoice, with what is due on it now.';
COMMENT ON COLUMN analytics.invoices.invoice_id IS 'The invoice.';
COMMENT ON COLUMN analytics.invoices.number IS 'As printed, gapless in its series.';
COMMENT ON COLUMN analytics.invoices.order_id IS 'The order.';
COMMENT ON COLUMN analytics.invoices.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.invoices.shipment_id IS
    'The shipment that it invoices; null when it was triggered by the confirmation.';
COMMENT ON COLUMN analytics.invoices.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.invoices.net_minor IS 'Net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.tax_minor IS 'Tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.total_minor IS 'Including tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.issued_on IS 'The day printed on it, local day of the issuer.';
COMMENT ON COLUMN analytics.invoices.due_on IS 'The last day on which payment is in time, local day of the issuer.';
COMMENT ON COLUMN analytics.invoices.final IS 'Whether nothing of the order remains to be invoiced.';
COMMENT ON COLUMN analytics.invoices.applied_minor IS
    'Money and customer''s credit applied to it, less what was taken back, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.credited_minor IS
    'Taken off by credit notes, minor units of `currency`; positive.';
COMMENT ON COLUMN analytics.invoices.written_off_minor IS 'Given up, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.open_minor IS 'Due now, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoices.paid_on IS
    'The day on which it was closed (paid, credited or written off), a value day; null while something is due, again or still.';
COMMENT ON COLUMN analytics.invoices.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.invoice_lines AS
SELECT b.bill_id AS invoice_id, b.order_id, (l ->> 0)::integer AS line_no, l ->> 1 AS sku,
       (l ->> 2)::bigint AS quantity, (l ->> 3)::bigint AS unit_price_minor, (l ->> 4)::integer AS tax_rate_bp,
       (l ->> 5)::bigint AS net_minor, b.currency, b.issued_on
FROM public.bills b, json_array_elements(b.lines) l
WHERE b.kind = 'invoice';
COMMENT ON VIEW analytics.invoice_lines IS
    'One row per line as invoiced; tax is rounded per document, so lines have none.';
COMMENT ON COLUMN analytics.invoice_lines.invoice_id IS 'The invoice.';
COMMENT ON COLUMN analytics.invoice_lines.order_id IS 'The order.';
COMMENT ON COLUMN analytics.invoice_lines.line_no IS 'The line of the order.';
COMMENT ON COLUMN analytics.invoice_lines.sku IS 'The product.';
COMMENT ON COLUMN analytics.invoice_lines.quantity IS 'Pieces invoiced.';
COMMENT ON COLUMN analytics.invoice_lines.unit_price_minor IS 'Price of a piece net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoice_lines.tax_rate_bp IS 'Tax rate in basis points: 2000 = 20 %.';
COMMENT ON COLUMN analytics.invoice_lines.net_minor IS 'Net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.invoice_lines.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.invoice_lines.issued_on IS 'The day of the document, local day of the issuer.';

CREATE VIEW analytics.credit_notes AS
SELECT bill_id AS credit_note_id, number, invoice_id, order_id, customer_id, currency, net_minor, tax_minor, total_minor,
       issued_on, reason, recorded_at
FROM public.bills
WHERE kind = 'credit_note';
COMMENT ON VIEW analytics.credit_notes IS
    'One row per credit note; amounts are positive.';
COMMENT ON COLUMN analytics.credit_notes.credit_note_id IS 'The credit note.';
COMMENT ON COLUMN analytics.credit_notes.number IS 'As printed, gapless in its series.';
COMMENT ON COLUMN analytics.credit_notes.invoice_id IS 'The invoice that it takes back in part or whole.';
COMMENT ON COLUMN analytics.credit_notes.order_id IS 'The order.';
COMMENT ON COLUMN analytics.credit_notes.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.credit_notes.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.credit_notes.net_minor IS 'Net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.credit_notes.tax_minor IS 'Tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.credit_notes.total_minor IS 'Including tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.credit_notes.issued_on IS 'The day printed on it, local day of the issuer.';
COMMENT ON COLUMN analytics.credit_notes.reason IS 'Why, for people.';
COMMENT ON COLUMN analytics.credit_notes.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.credit_note_lines AS
SELECT b.bill_id AS credit_note_id, b.order_id, (l ->> 0)::integer AS line_no, l ->> 1 AS sku,
       (l ->> 2)::bigint AS quantity, (l ->> 3)::bigint AS unit_price_minor, (l ->> 4)::integer AS tax_rate_bp,
       (l ->> 5)::bigint AS net_minor, b.currency, b.issued_on
FROM public.bills b, json_array_elements(b.lines) l
WHERE b.kind = 'credit_note';
COMMENT ON VIEW analytics.credit_note_lines IS
    'One row per line as credited.';
COMMENT ON COLUMN analytics.credit_note_lines.credit_note_id IS 'The credit note.';
COMMENT ON COLUMN analytics.credit_note_lines.order_id IS 'The order.';
COMMENT ON COLUMN analytics.credit_note_lines.line_no IS 'The line of the order.';
COMMENT ON COLUMN analytics.credit_note_lines.sku IS 'The product.';
COMMENT ON COLUMN analytics.credit_note_lines.quantity IS 'Pieces credited.';
COMMENT ON COLUMN analytics.credit_note_lines.unit_price_minor IS
    'Price of a piece net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.credit_note_lines.tax_rate_bp IS 'Tax rate in basis points: 2000 = 20 %.';
COMMENT ON COLUMN analytics.credit_note_lines.net_minor IS 'Net of tax, minor units of `currency`.';
COMMENT ON COLUMN analytics.credit_note_lines.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.credit_note_lines.issued_on IS 'The day of the document, local day of the issuer.';

CREATE VIEW analytics.receipts AS
SELECT r.payment_id, r.customer_id, nullif(r.order_id, '') AS order_id, r.currency, r.amount_minor,
       coalesce(a.applied_minor, 0) AS applied_minor, r.amount_minor - coalesce(a.applied_minor, 0) AS unapplied_minor,
       r.value_on, r.method, r.reference, r.recorded_at
FROM public.receipts r
LEFT JOIN (
    SELECT source_id, currency, -sum(amount_minor) AS applied_minor
    FROM public.receivable_movements WHERE kind IN ('applied', 'unapplied') GROUP BY source_id, currency
) a ON a.source_id = r.payment_id AND a.currency = r.currency;
COMMENT ON VIEW analytics.receipts IS
    'One row per payment that came in, with what of it is applied now.';
COMMENT ON COLUMN analytics.receipts.payment_id IS 'The payment.';
COMMENT ON COLUMN analytics.receipts.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.receipts.order_id IS 'The order that it names; null when it names none.';
COMMENT ON COLUMN analytics.receipts.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.receipts.amount_minor IS 'What came in, minor units of `currency`.';
COMMENT ON COLUMN analytics.receipts.applied_minor IS 'What pays invoices now, minor units of `currency`.';
COMMENT ON COLUMN analytics.receipts.unapplied_minor IS
    'What pays nothing: the customer''s credit, minor units of `currency`.';
COMMENT ON COLUMN analytics.receipts.value_on IS 'The bank''s value day.';
COMMENT ON COLUMN analytics.receipts.method IS 'Transfer, card, ….';
COMMENT ON COLUMN analytics.receipts.reference IS 'What the payer wrote; empty when nothing.';
COMMENT ON COLUMN analytics.receipts.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.applications AS
SELECT movement_id AS application_id, source_id, invoice_id, order_id, customer_id, currency,
       -amount_minor AS amount_minor, effective_on, recorded_at
FROM public.receivable_movements
WHERE kind IN ('applied', 'unapplied');
COMMENT ON VIEW analytics.applications IS
    'One row per application of money to an invoice, and per application taken back.';
COMMENT ON COLUMN analytics.applications.application_id IS 'The message that said it.';
COMMENT ON COLUMN analytics.applications.source_id IS 'The payment or credit note whose money it is.';
COMMENT ON COLUMN analytics.applications.invoice_id IS 'The invoice that it pays.';
COMMENT ON COLUMN analytics.applications.order_id IS 'The order.';
COMMENT ON COLUMN analytics.applications.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.applications.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.applications.amount_minor IS
    'What it pays, minor units of `currency`; negative: taken back.';
COMMENT ON COLUMN analytics.applications.effective_on IS
    'The day from which it counts: both money and invoice are there, local day.';
COMMENT ON COLUMN analytics.applications.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.receivable_movements AS
SELECT movement_id, invoice_id, kind, nullif(source_id, '') AS source_id, order_id, customer_id, currency, amount_minor,
       effective_on, recorded_at
FROM public.receivable_movements;
COMMENT ON VIEW analytics.receivable_movements IS
    'All that changed what is due, bitemporal: the sum up to any effective day, as known at any recorded instant, is what was due.';
COMMENT ON COLUMN analytics.receivable_movements.movement_id IS 'The message that said it.';
COMMENT ON COLUMN analytics.receivable_movements.invoice_id IS 'The invoice.';
COMMENT ON COLUMN analytics.receivable_movements.kind IS 'Invoiced, applied, unapplied, credited or written_off.';
COMMENT ON COLUMN analytics.receivable_movements.source_id IS
    'The payment or credit note behind it; null when there is none.';
COMMENT ON COLUMN analytics.receivable_movements.order_id IS 'The order.';
COMMENT ON COLUMN analytics.receivable_movements.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.receivable_movements.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.receivable_movements.amount_minor IS
    'Change of what is due, minor units of `currency`: positive makes it more.';
COMMENT ON COLUMN analytics.receivable_movements.effective_on IS
    'The day from which it counts in the books, local day.';
COMMENT ON COLUMN analytics.receivable_movements.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.journal AS
SELECT e.entry_id, l.line_no::integer AS line_no, e.posted_on, l.line ->> 0 AS account,
       (l.line ->> 1)::bigint AS debit_minor, (l.line ->> 2)::bigint AS credit_minor, e.currency, e.customer_id,
       nullif(e.order_id, '') AS order_id, e.document, e.recorded_at
FROM public.journal_entries e, json_array_elements(e.lines) WITH ORDINALITY l (line, line_no);
COMMENT ON VIEW analytics.journal IS
    'One row per line of the general ledger; debits and credits of an entry are equal.';
COMMENT ON COLUMN analytics.journal.entry_id IS 'The entry.';
COMMENT ON COLUMN analytics.journal.line_no IS 'The line of the entry, from 1.';
COMMENT ON COLUMN analytics.journal.posted_on IS 'The day on which it takes effect, local day.';
COMMENT ON COLUMN analytics.journal.account IS
    'The account: 1000 bank, 1200 receivables, 2100 customer credit, 2200 tax payable, 4000 revenue, 6100 write-offs.';
COMMENT ON COLUMN analytics.journal.debit_minor IS 'Debit, minor units of `currency`; 0 on a credit line.';
COMMENT ON COLUMN analytics.journal.credit_minor IS 'Credit, minor units of `currency`; 0 on a debit line.';
COMMENT ON COLUMN analytics.journal.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN analytics.journal.customer_id IS 'The customer.';
COMMENT ON COLUMN analytics.journal.order_id IS 'The order that led to it; null when none did.';
COMMENT ON COLUMN analytics.journal.document IS 'The invoice, credit note, payment or other that it books.';
COMMENT ON COLUMN analytics.journal.recorded_at IS 'When it was said, UTC: nobody here knew it earlier.';

CREATE VIEW analytics.stage_times AS
SELECT order_id, type AS stage, min(at) AS first_at, max(at) AS last_at, count(*) AS times
FROM public.order_story
GROUP BY order_id, type;
COMMENT ON VIEW analytics.stage_times IS
    'One row per order and kind of message about it: when it was first and last said, and how often.';
COMMENT ON COLUMN analytics.stage_times.order_id IS 'The order.';
COMMENT ON COLUMN analytics.stage_times.stage IS
    'The type of the message, such as OrderPlaced, Shipped or InvoicePaid.';
COMMENT ON COLUMN analytics.stage_times.first_at IS 'When it was first said, UTC.';
COMMENT ON COLUMN analytics.stage_times.last_at IS 'When it was last said, UTC.';
COMMENT ON COLUMN analytics.stage_times.times IS 'How often.';
