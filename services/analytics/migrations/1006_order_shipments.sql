-- Shipments by order and id: warehouses count parcels per order, so two orders may each have a shipment of one id. By the
-- id alone the later one took the place of the earlier; what was lost so comes back with `o2c rebuild analytics`.
--
-- A table of its own, because the older version goes on beside it and finds its rows by the unique id: what it still
-- hears, the trigger carries over. Only a delivery that it hears of a shipment that this version heard waits for the
-- rebuild. No version reads `shipments` any more when that one is gone; a later migration may drop it.
--
-- Cost: every shipment is written once more, some 4 s and 240 MB for a million. Meanwhile shipments can be read and not
-- written, so analytics hears nothing; no other service waits.

CREATE TABLE order_shipments (
    order_id     text,
    shipment_id  text,  -- the warehouse's; unique within its order
    customer_id  text,
    carrier      text,
    tracking     text,
    final        boolean,
    shipped_at   timestamptz,
    delivered_at timestamptz,
    recorded_at  timestamptz,
    lines        json,  -- [[line_no, sku, quantity], …]
    PRIMARY KEY (shipment_id, order_id)  -- the search knows the id alone
);

CREATE FUNCTION shipment_of_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_shipments AS t (order_id, shipment_id, customer_id, carrier, tracking, final, shipped_at,
                                      delivered_at, recorded_at, lines)
    VALUES (NEW.order_id, NEW.shipment_id, NEW.customer_id, NEW.carrier, NEW.tracking, NEW.final, NEW.shipped_at,
            NEW.delivered_at, NEW.recorded_at, NEW.lines)
    ON CONFLICT (order_id, shipment_id) DO UPDATE SET delivered_at = coalesce(excluded.delivered_at, t.delivered_at);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION shipment_of_order IS 'Carries what an older version writes to shipments over to order_shipments.';

-- The trigger first: from here to the end nobody writes the rows that are copied.
CREATE TRIGGER shipment_of_order AFTER INSERT OR UPDATE ON shipments
    FOR EACH ROW WHEN (NEW.order_id IS NOT NULL) EXECUTE FUNCTION shipment_of_order();

INSERT INTO order_shipments
SELECT order_id, shipment_id, customer_id, carrier, tracking, final, shipped_at, delivered_at, recorded_at, lines
FROM shipments WHERE order_id IS NOT NULL;

CREATE OR REPLACE VIEW analytics.shipments AS
SELECT shipment_id, order_id, customer_id, carrier, tracking, final, shipped_at, delivered_at, recorded_at
FROM public.order_shipments;
COMMENT ON VIEW analytics.shipments IS
    'One row per shipment: `order_id` and `shipment_id` together say which.';
COMMENT ON COLUMN analytics.shipments.shipment_id IS
    'The warehouse''s id of it, unique within its order: warehouses count parcels per order.';

CREATE OR REPLACE VIEW analytics.shipment_lines AS
SELECT s.shipment_id, s.order_id, (l ->> 0)::integer AS line_no, l ->> 1 AS sku, (l ->> 2)::bigint AS quantity,
       s.shipped_at
FROM public.order_shipments s, json_array_elements(s.lines) l;
COMMENT ON COLUMN analytics.shipment_lines.shipment_id IS 'The shipment, unique within its order.';

COMMENT ON COLUMN analytics.invoices.shipment_id IS
    'The shipment of its order that it invoices; null when it was triggered by the confirmation.';
