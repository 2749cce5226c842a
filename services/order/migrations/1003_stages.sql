-- In which stage an order waits, and since when as we recorded it: what is in the order may be dated years back.
-- Old rows: the stage as their other columns say; the instant is a guess until `o2c rebuild order`.
ALTER TABLE orders
    ADD COLUMN stage    text        NOT NULL DEFAULT '',
    ADD COLUMN stage_at timestamptz NOT NULL DEFAULT now();
UPDATE orders SET
    stage = CASE WHEN status IN ('placed', 'held') THEN 'credit'
                 WHEN status = 'cancelling' THEN 'cancelling'
                 WHEN NOT shipped_fully AND allocation <> 'reserved' THEN 'stock'
                 WHEN NOT shipped_fully THEN 'warehouse'
                 WHEN NOT invoiced_fully THEN 'invoice'
                 ELSE 'payment' END,
    stage_at = coalesce(confirmed_at, now())
WHERE status IN ('placed', 'held', 'confirmed', 'cancelling');
