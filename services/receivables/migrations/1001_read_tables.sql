-- Read tables of receivables. Columns beside the keys may be NULL: rows of one key merge from several facts.

CREATE TABLE open_items (
    invoice_id  text PRIMARY KEY,
    number      text,
    order_id    text,
    customer_id text,
    currency    text,
    issued_on   date,
    due_on      date,
    total_minor bigint,
    open_minor  bigint
);
CREATE INDEX open_items_due ON open_items (due_on, invoice_id) WHERE open_minor > 0;
CREATE INDEX open_items_of_customer ON open_items (customer_id, due_on, invoice_id) WHERE open_minor > 0;

CREATE TABLE item_movements (
    invoice_id   text,
    movement_id  text,
    kind         text,
    source_id    text,
    customer_id  text,
    currency     text,
    amount_minor bigint,
    effective_on date,
    PRIMARY KEY (invoice_id, movement_id)
);
CREATE INDEX item_movements_of_source ON item_movements (source_id) WHERE source_id <> '';

CREATE TABLE unapplied (
    source_id   text,
    currency    text,
    customer_id text,
    kind        text,
    reference   text,
    order_id    text,
    since_on    date,
    rest_minor  bigint,
    PRIMARY KEY (source_id, currency)
);
CREATE INDEX unapplied_since ON unapplied (since_on, source_id, currency) WHERE rest_minor > 0;
CREATE INDEX unapplied_of_customer ON unapplied (customer_id, since_on) WHERE rest_minor > 0;

CREATE TABLE payments (
    payment_id   text PRIMARY KEY,
    customer_id  text,
    amount_minor bigint,
    currency     text,
    value_on     date,
    method       text,
    reference    text,
    order_id     text
);

CREATE TABLE journal_lines (
    entry_id     text,
    line_no      integer,
    posted_on    date,
    account      text,
    debit_minor  bigint,
    credit_minor bigint,
    currency     text,
    customer_id  text,
    document     text,
    order_id     text,
    PRIMARY KEY (entry_id, line_no)
);
CREATE INDEX journal_lines_by_day ON journal_lines (posted_on, entry_id, line_no);
