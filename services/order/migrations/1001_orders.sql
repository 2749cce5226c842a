-- Read tables of the order service; `projections.py` names the same columns.

-- Rows are rewritten at every step of an order; only status is indexed among what changes.
CREATE TABLE orders (
    order_id       text COLLATE "C" PRIMARY KEY,
    customer_id    text COLLATE "C" NOT NULL,
    status         text        NOT NULL,
    reason         text        NOT NULL,
    currency       text        NOT NULL,
    total_minor    bigint      NOT NULL,
    line_count     integer     NOT NULL,
    prepaid        boolean     NOT NULL,
    placed_at      timestamptz NOT NULL,
    confirmed_at   timestamptz,
    allocation     text        NOT NULL,
    shipments      integer     NOT NULL,
    shipped_fully  boolean     NOT NULL,
    invoices_open  integer     NOT NULL,
    invoiced_fully boolean     NOT NULL,
    invoiced_minor bigint      NOT NULL,
    paid_minor     bigint      NOT NULL,
    credited_minor bigint      NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX orders_placed ON orders (placed_at, order_id);
CREATE INDEX orders_customer ON orders (customer_id, placed_at, order_id);
CREATE INDEX orders_status ON orders (status, placed_at, order_id);

CREATE TABLE customers (
    customer_id        text COLLATE "C" PRIMARY KEY,
    name               text    NOT NULL,
    country            text    NOT NULL,
    currency           text    NOT NULL,
    payment_terms_days integer NOT NULL
);

CREATE TABLE products (
    sku              text COLLATE "C" PRIMARY KEY,
    description      text    NOT NULL,
    unit_price_minor bigint  NOT NULL,
    currency         text    NOT NULL,
    tax_rate_bp      integer NOT NULL
);
