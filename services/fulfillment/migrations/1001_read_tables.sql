-- What people ask fulfillment about. Rows follow from the facts alone and can be rebuilt at any time.

CREATE TABLE stock_levels (
    sku         text COLLATE "C" PRIMARY KEY,
    on_hand     bigint NOT NULL,
    reserved    bigint NOT NULL,
    backordered bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE fulfillments (
    order_id          text COLLATE "C" PRIMARY KEY,
    customer_id       text COLLATE "C" NOT NULL,
    status            text    NOT NULL CHECK (status IN ('waiting', 'reserved', 'backordered', 'shipped', 'cancelled')),
    ship_complete     boolean NOT NULL,
    backordered       bigint  NOT NULL,
    reserved          bigint  NOT NULL,
    shipped           bigint  NOT NULL,
    shipments_waiting integer NOT NULL,
    lines             jsonb   NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX fulfillments_status ON fulfillments (status, order_id);
CREATE INDEX fulfillments_customer ON fulfillments (customer_id, order_id);

-- One row per product and order that ever waited; `quantity` is what it still waits for, 0 when nothing.
CREATE TABLE backorders (
    sku       text COLLATE "C" NOT NULL,
    order_id  text COLLATE "C" NOT NULL,
    quantity  bigint      NOT NULL,
    queued_at timestamptz,
    PRIMARY KEY (sku, order_id)
);
CREATE INDEX backorders_open ON backorders (sku, order_id) WHERE quantity > 0;
CREATE INDEX backorders_order ON backorders (order_id, sku) WHERE quantity > 0;
