"""What fulfillment's read table says of the business at this moment: goods that customers wait for."""

from shared.telemetry.gauges import Gauge
from shared.telemetry.metrics import Metric

LINES = Metric("o2c.backorders", "gauge", "{line}", "Order lines that wait for goods, at most 10,000")
PIECES = Metric("o2c.backorders.pieces", "gauge", "{piece}", "Pieces that these lines wait for")
OLDEST = Metric("o2c.backorders.oldest", "gauge", "s", "How long the first of these lines has waited; none without any")

_SQL = """
SELECT count(*), coalesce(sum(quantity), 0), greatest(extract(epoch FROM now() - min(queued_at)), 0)
FROM (SELECT quantity, queued_at FROM backorders WHERE quantity > 0 LIMIT {limit}) AS open
"""

GAUGES = (Gauge((LINES, PIECES, OLDEST), _SQL),)
