"""What the order service's read table says of the business at this moment: which orders wait, where, and how long."""

from shared.telemetry.gauges import Gauge
from shared.telemetry.metrics import Metric

STAGES = ("credit", "stock", "warehouse", "invoice", "payment", "cancelling")
"""For whom an order may wait: credit's word, goods, the warehouse, billing, the customer's money, a cancellation."""

WAITING = Metric("o2c.orders.waiting", "gauge", "{order}", "Orders that wait, by stage; of a status 10,000", ("stage",))
OLDEST = Metric(
    "o2c.orders.waiting.oldest",
    "gauge",
    "s",
    "How long one of them has been in this stage at most, since it was recorded that it came there",
    ("stage",),
)

_OF_STATUS = """
(SELECT stage, stage_at FROM orders WHERE status = '{status}' ORDER BY placed_at LIMIT {{limit}})
"""
_ORDERS = " UNION ALL ".join(
    _OF_STATUS.format(status=status) for status in ("placed", "held", "confirmed", "cancelling")
)
_SQL = f"""
SELECT stage, count(*), greatest(extract(epoch FROM now() - min(stage_at)), 0)
FROM ({_ORDERS}) AS waiting GROUP BY stage
"""

GAUGES = (Gauge((WAITING, OLDEST), _SQL, tuple((stage,) for stage in STAGES)),)
