-- Documents as they were said, one row each and never changed; a narrower order_cycle; sums that cannot overflow.
-- The new tables are empty, so everything is heard anew: the services say it again when they are asked from 0 on.

DROP TABLE invoice_facts, payment_facts;

TRUNCATE order_cycle, order_story, account_balances, daily_revenue, customers, products, daily_flow;
DELETE FROM dead_letters WHERE stream <> '';
UPDATE positions SET sequence = 0;

-- Further stages are in order_story: what changes seven times in an order's life is kept small.
ALTER TABLE order_cycle
    DROP COLUMN released_at,
    DROP COLUMN cancel_requested_at,
    DROP COLUMN credit_declined_at,
    DROP COLUMN credit_referred_at,
    DROP COLUMN credit_released_at,
    DROP COLUMN reservation_released_at,
    DROP COLUMN cancel_refused_at,
    DROP COLUMN delivered_at,
    DROP COLUMN return_authorized_at,
    DROP COLUMN returned_at,
    DROP COLUMN credited_at,
    DROP COLUMN cash_applied_at,
    DROP COLUMN written_off_at,
    DROP COLUMN last_shipped_at,
    DROP COLUMN last_invoiced_at,
    DROP COLUMN shipments,
    DROP COLUMN final_shipments,
    DROP COLUMN final_invoices,
    DROP COLUMN credit_notes;
ALTER TABLE order_cycle RENAME COLUMN paid_invoices TO closed_invoices;

-- Sums over many documents, each of which may be as large as a bigint.
ALTER TABLE order_cycle
    ALTER COLUMN invoiced_minor TYPE numeric,
    ALTER COLUMN credited_minor TYPE numeric,
    ALTER COLUMN paid_minor TYPE numeric,
    ALTER COLUMN written_off_minor TYPE numeric;
ALTER TABLE account_balances
    ALTER COLUMN debit_minor TYPE numeric,
    ALTER COLUMN credit_minor TYPE numeric;
ALTER TABLE daily_revenue
    ALTER COLUMN invoiced_net_minor TYPE numeric,
    ALTER COLUMN credited_net_minor TYPE numeric;
ALTER TABLE daily_flow
    ALTER COLUMN amount_minor TYPE numeric;

-- Rows of the story, like those of receivable_movements below, are appended once per message and never changed:
-- what finds them needs no unique index.
ALTER TABLE order_story DROP CONSTRAINT order_story_pkey;
CREATE INDEX order_story_of_order ON order_story (order_id);

-- Lines are arrays of values in a fixed order, so that a document is one row; the views of the schema `analytics`
-- make rows and named columns of them.
CREATE TABLE placed_orders (
    order_id           text PRIMARY KEY,
    customer_id        text,
    currency           text,
    net_minor          bigint,
    tax_minor          bigint,
    total_minor        bigint,
    ordered_at         timestamptz,
    payment_terms_days bigint,
    prepaid            boolean,
    recorded_at        timestamptz,
    lines              json  -- [[line_no, sku, quantity, unit_price_minor, tax_rate_bp], …]
);

CREATE TABLE shipments (
    shipment_id  text PRIMARY KEY,
    order_id     text,
    customer_id  text,
    carrier      text,
    tracking     text,
    final        boolean,
    shipped_at   timestamptz,
    delivered_at timestamptz,
    recorded_at  timestamptz,
    lines        json  -- [[line_no, sku, quantity], …]
);

-- Invoices and credit notes.
CREATE TABLE bills (
    bill_id     text,
    kind        text,  -- invoice, credit_note: whoever names returns may name one like an invoice
    number      text,
    invoice_id  text,  -- of a credit note: the invoice that it takes back
    order_id    text,
    customer_id text,
    shipment_id text,
    currency    text,
    net_minor   bigint,
    tax_minor   bigint,
    total_minor bigint,
    issued_on   date,
    due_on      date,
    final       boolean,
    reason      text,
    recorded_at timestamptz,
    lines       json,  -- [[line_no, sku, quantity, unit_price_minor, tax_rate_bp, net_minor], …]
    PRIMARY KEY (bill_id, kind)
);

CREATE TABLE receipts (
    payment_id   text PRIMARY KEY,
    customer_id  text,
    order_id     text,
    currency     text,
    amount_minor bigint,
    value_on     date,
    method       text,
    reference    text,
    recorded_at  timestamptz
);

-- What changed what is due on an invoice: with the day it takes effect and the instant it was recorded.
CREATE TABLE receivable_movements (
    invoice_id   text,
    movement_id  text,
    kind         text,
    source_id    text,
    order_id     text,
    customer_id  text,
    currency     text,
    amount_minor bigint,
    effective_on date,
    recorded_at  timestamptz
);
CREATE INDEX receivable_movements_of_invoice ON receivable_movements (invoice_id);

CREATE TABLE journal_entries (
    entry_id    text PRIMARY KEY,
    posted_on   date,
    customer_id text,
    order_id    text,
    document    text,
    currency    text,
    recorded_at timestamptz,
    lines       json  -- [[account, debit_minor, credit_minor], …]
);
