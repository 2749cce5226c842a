"""What fulfillment's read tables say of the business at this moment: goods waited for, and goods that left unbooked."""

from shared.telemetry.gauges import Gauge
from shared.telemetry.metrics import Metric

LINES = Metric("o2c.backorders", "gauge", "{line}", "Order lines that wait for goods, at most 10,000")
PIECES = Metric("o2c.backorders.pieces", "gauge", "{piece}", "Pieces that these lines wait for")
OLDEST = Metric("o2c.backorders.oldest", "gauge", "s", "How long the first of these lines has waited; none without any")

_SQL = """
SELECT count(*), coalesce(sum(quantity), 0),
       CASE WHEN min(queued_at) IS NOT NULL THEN greatest(extract(epoch FROM now() - min(queued_at)), 0) END
FROM (SELECT quantity, queued_at FROM backorders WHERE quantity > 0 LIMIT {limit}) AS open
"""

SHIPMENTS = Metric("o2c.shipments.waiting", "gauge", "{shipment}", "Shipments that wait, of 10,000 orders at most")
SHIPMENTS_OLDEST = Metric(
    "o2c.shipments.waiting.oldest",
    "gauge",
    "s",
    "How long ago the first shipment was noted of an order of which one waits; none without any",
)
REJECTED = Metric(
    "o2c.shipments.rejected", "gauge", "{shipment}", "Shipments rejected within a day after they waited, at most 10,000"
)

_WAITING = """
SELECT coalesce(sum(shipments_waiting), 0),
       CASE WHEN min(noted_at) IS NOT NULL THEN greatest(extract(epoch FROM now() - min(noted_at)), 0) END
FROM (SELECT shipments_waiting, (SELECT min(noted_at) FROM noted_shipments AS n
                                 WHERE n.order_id = f.order_id AND rejected_at IS NULL) AS noted_at
      FROM fulfillments AS f WHERE shipments_waiting > 0 LIMIT {limit}) AS open
"""
# Nothing says that a person has looked: what was rejected is news for a day.
_REJECTED = """
SELECT count(*)
FROM (SELECT 1 FROM noted_shipments WHERE rejected_at > now() - interval '1 day' LIMIT {limit}) AS news
"""

GAUGES = (
    Gauge((LINES, PIECES, OLDEST), _SQL),
    Gauge((SHIPMENTS, SHIPMENTS_OLDEST), _WAITING),
    Gauge((REJECTED,), _REJECTED),
)
