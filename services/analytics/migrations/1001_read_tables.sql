-- Read tables of analytics. Columns beside the keys may be NULL: rows of one key merge from several messages.

CREATE TABLE order_cycle (
    order_id                text,
    customer_id             text,
    currency                text,
    placed_at               timestamptz,
    held_at                 timestamptz,
    released_at             timestamptz,
    rejected_at             timestamptz,
    confirmed_at            timestamptz,
    cancel_requested_at     timestamptz,
    cancelled_at            timestamptz,
    completed_at            timestamptz,
    credit_approved_at      timestamptz,
    credit_declined_at      timestamptz,
    credit_referred_at      timestamptz,
    credit_released_at      timestamptz,
    reserved_at             timestamptz,
    backordered_at          timestamptz,
    reservation_released_at timestamptz,
    cancel_refused_at       timestamptz,
    shipped_at              timestamptz,
    delivered_at            timestamptz,
    return_authorized_at    timestamptz,
    returned_at             timestamptz,
    invoiced_at             timestamptz,
    credited_at             timestamptz,
    cash_applied_at         timestamptz,
    written_off_at          timestamptz,
    last_shipped_at         timestamptz,
    last_invoiced_at        timestamptz,
    paid_at                 timestamptz,
    ordered_minor           bigint,
    invoiced_minor          bigint,
    credited_minor          bigint,
    paid_minor              bigint,
    written_off_minor       bigint,
    shipments               bigint,
    final_shipments         bigint,
    invoices                bigint,
    final_invoices          bigint,
    paid_invoices           bigint,
    credit_notes            bigint,
    PRIMARY KEY (order_id)
) WITH (fillfactor = 40);  -- a row is written some seven times: room on its page keeps the indexes out of it
CREATE INDEX order_cycle_of_customer ON order_cycle (customer_id, order_id);
CREATE INDEX order_cycle_placed ON order_cycle (placed_at);

CREATE TABLE order_story (
    order_id   text,
    message_id text,
    at         timestamptz,
    speaker    text,
    type       text,
    summary    text,
    PRIMARY KEY (order_id, message_id)
);

CREATE TABLE invoice_facts (
    invoice_id        text,
    number            text,
    order_id          text,
    customer_id       text,
    currency          text,
    issued_on         date,
    due_on            date,
    net_minor         bigint,
    tax_minor         bigint,
    total_minor       bigint,
    credited_minor    bigint,
    applied_minor     bigint,
    written_off_minor bigint,
    paid_on           date,
    PRIMARY KEY (invoice_id)
);
CREATE INDEX invoice_facts_of_order ON invoice_facts (order_id);

CREATE TABLE payment_facts (
    source_id     text,
    currency      text,
    kind          text,
    customer_id   text,
    order_id      text,
    method        text,
    reference     text,
    value_on      date,
    amount_minor  bigint,
    applied_minor bigint,
    PRIMARY KEY (source_id, currency)
);
CREATE INDEX payment_facts_of_order ON payment_facts (order_id) WHERE order_id <> '';

CREATE TABLE account_balances (
    posted_on    date,
    account      text,
    currency     text,
    debit_minor  bigint,
    credit_minor bigint,
    PRIMARY KEY (posted_on, account, currency)
);

CREATE TABLE daily_revenue (
    day                date,
    currency           text,
    invoiced_net_minor bigint,
    credited_net_minor bigint,
    invoices           bigint,
    credit_notes       bigint,
    PRIMARY KEY (day, currency)
);

CREATE TABLE customers (
    customer_id        text,
    name               text,
    country            text,
    currency           text,
    payment_terms_days bigint,
    registered_at      timestamptz,
    credit_limit_minor bigint,
    credit_currency    text,
    held               boolean,
    PRIMARY KEY (customer_id)
);

CREATE TABLE products (
    sku               text,
    description       text,
    unit_price_minor  bigint,
    currency          text,
    tax_rate_bp       bigint,
    received_quantity bigint,
    adjusted_quantity bigint,
    PRIMARY KEY (sku)
);

CREATE TABLE daily_flow (
    day          date,
    stage        text,
    currency     text,
    count        bigint,
    amount_minor bigint,
    PRIMARY KEY (day, stage, currency)
);
