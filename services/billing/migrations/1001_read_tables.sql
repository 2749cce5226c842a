-- The documents that billing issued. Rows follow from the facts alone and can be rebuilt at any time.

CREATE TABLE invoices (
    invoice_id  text COLLATE "C" PRIMARY KEY,
    number      text COLLATE "C" NOT NULL UNIQUE,
    series      text    NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    currency    text    NOT NULL,
    lines       jsonb   NOT NULL,
    taxes       jsonb   NOT NULL,
    net_minor   bigint  NOT NULL,
    tax_minor   bigint  NOT NULL,
    total_minor bigint  NOT NULL CHECK (total_minor = net_minor + tax_minor),
    issued_on   date    NOT NULL,
    due_on      date    NOT NULL,
    final       boolean NOT NULL,
    shipment_id text    NOT NULL
);
CREATE INDEX invoices_customer ON invoices (customer_id, number);
CREATE INDEX invoices_order ON invoices (order_id, number);

CREATE TABLE credit_notes (
    credit_note_id text COLLATE "C" PRIMARY KEY,
    number         text COLLATE "C" NOT NULL UNIQUE,
    series         text   NOT NULL,
    invoice_id     text COLLATE "C" NOT NULL,
    invoice_number text COLLATE "C" NOT NULL,
    order_id       text COLLATE "C" NOT NULL,
    customer_id    text COLLATE "C" NOT NULL,
    currency       text   NOT NULL,
    lines          jsonb  NOT NULL,
    taxes          jsonb  NOT NULL,
    net_minor      bigint NOT NULL,
    tax_minor      bigint NOT NULL,
    total_minor    bigint NOT NULL CHECK (total_minor = net_minor + tax_minor),
    issued_on      date   NOT NULL,
    reason         text   NOT NULL,
    return_id      text   NOT NULL
);
CREATE INDEX credit_notes_invoice ON credit_notes (invoice_id);
CREATE INDEX credit_notes_customer ON credit_notes (customer_id, number);
CREATE INDEX credit_notes_order ON credit_notes (order_id, number);
