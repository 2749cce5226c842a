-- What was written off can come back: an invoice's write-offs are net of what was reversed.

CREATE OR REPLACE VIEW analytics.invoices AS
SELECT b.bill_id AS invoice_id, b.number, b.order_id, b.customer_id, nullif(b.shipment_id, '') AS shipment_id,
       b.currency, b.net_minor, b.tax_minor, b.total_minor, b.issued_on, b.due_on, b.final,
       coalesce(m.applied_minor, 0) AS applied_minor, coalesce(m.credited_minor, 0) AS credited_minor,
       coalesce(m.written_off_minor, 0) AS written_off_minor, coalesce(m.open_minor, b.total_minor) AS open_minor,
       CASE WHEN m.open_minor = 0 THEN m.last_on END AS paid_on, b.recorded_at
FROM public.bills b
LEFT JOIN (
    SELECT invoice_id, sum(amount_minor) AS open_minor,
           max(effective_on) FILTER (WHERE amount_minor <> 0 OR kind = 'invoiced') AS last_on,
           -sum(amount_minor) FILTER (WHERE kind IN ('applied', 'unapplied')) AS applied_minor,
           -sum(amount_minor) FILTER (WHERE kind = 'credited') AS credited_minor,
           -sum(amount_minor) FILTER (WHERE kind IN ('written_off', 'write_off_reversed')) AS written_off_minor
    FROM public.receivable_movements GROUP BY invoice_id
) m ON m.invoice_id = b.bill_id
WHERE b.kind = 'invoice';
COMMENT ON COLUMN analytics.invoices.written_off_minor IS
    'Given up, less what came back, minor units of `currency`.';
COMMENT ON COLUMN analytics.orders.written_off_minor IS
    'Given up on its invoices, less what came back, minor units of `currency`.';
COMMENT ON COLUMN analytics.receivable_movements.kind IS
    'Invoiced, applied, unapplied, credited, written_off or write_off_reversed.';
