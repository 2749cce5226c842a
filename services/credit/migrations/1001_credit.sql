-- Read tables of the credit service; `projections.py` names the same columns.

-- Sums over the life of an account are numeric: they may outgrow 64 bits.
CREATE TABLE credit_accounts (
    customer_id       text COLLATE "C" PRIMARY KEY,
    currency          text    NOT NULL,
    limit_minor       bigint  NOT NULL,
    held              boolean NOT NULL,
    hold_reason       text    NOT NULL,
    exposure_minor    numeric NOT NULL,
    reserved_minor    numeric NOT NULL,
    invoiced_minor    numeric NOT NULL,
    credited_minor    numeric NOT NULL,
    received_minor    numeric NOT NULL,
    written_off_minor numeric NOT NULL,
    waiting           integer NOT NULL
) WITH (fillfactor = 70);

-- Orders that had to wait for credit. A row whose order left the queue stays, with how it ended.
CREATE TABLE credit_reviews (
    order_id        text COLLATE "C" PRIMARY KEY,
    customer_id     text COLLATE "C",
    status          text,
    reason          text,
    amount_minor    bigint,
    currency        text,
    excess_minor    numeric,
    available_minor numeric,
    decided_by      text,
    note            text,
    requested_at    timestamptz,
    decided_at      timestamptz
);
CREATE INDEX credit_reviews_open ON credit_reviews (requested_at, order_id) WHERE status IN ('referred', 'declined');
CREATE INDEX credit_reviews_customer ON credit_reviews (customer_id, requested_at, order_id);
CREATE INDEX credit_reviews_status ON credit_reviews (status, requested_at, order_id);
