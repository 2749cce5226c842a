"""What credit's read table says of the business at this moment: the queue of the people who decide."""

from shared.telemetry.gauges import Gauge
from shared.telemetry.metrics import Metric

REVIEWS = Metric(
    "o2c.credit.reviews.waiting", "gauge", "{order}", "Orders that wait for credit, at most 10,000", ("status",)
)
OLDEST = Metric(
    "o2c.credit.reviews.waiting.oldest", "gauge", "s", "How long the first of them has waited for credit", ("status",)
)

_SQL = """
SELECT status, count(*), greatest(extract(epoch FROM now() - min(requested_at)), 0)
FROM (SELECT status, requested_at FROM credit_reviews WHERE status IN ('referred', 'declined')
      ORDER BY requested_at, order_id LIMIT {limit}) AS open GROUP BY status
"""

GAUGES = (Gauge((REVIEWS, OLDEST), _SQL, (("referred",), ("declined",))),)
