-- Shipments that were heard before they could be carried out, and what was said to those that never can be: their goods
-- have left the house and are still counted as there. Those of before: `o2c rebuild fulfillment`.
CREATE TABLE noted_shipments (
    order_id    text COLLATE "C" NOT NULL,
    shipment_id text COLLATE "C" NOT NULL,
    noted_at    timestamptz,
    rejected_at timestamptz,
    reason      text,
    PRIMARY KEY (order_id, shipment_id)
);
CREATE INDEX noted_shipments_rejected ON noted_shipments (order_id, shipment_id) WHERE rejected_at IS NOT NULL;
CREATE INDEX noted_shipments_rejected_at ON noted_shipments (rejected_at) WHERE rejected_at IS NOT NULL;
CREATE INDEX fulfillments_waiting ON fulfillments (order_id) WHERE shipments_waiting > 0;
