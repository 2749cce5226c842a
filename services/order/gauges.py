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
    "Age of the oldest of them since it was confirmed; before that, since it was placed",
    ("stage",),
)

_OF_STATUS = """
(SELECT status, allocation, shipped_fully, invoiced_fully, coalesce(confirmed_at, placed_at) AS since
 FROM orders WHERE status = '{status}' ORDER BY placed_at LIMIT {{limit}})
"""
_ORDERS = " UNION ALL ".join(
    _OF_STATUS.format(status=status) for status in ("placed", "held", "confirmed", "cancelling")
)
_SQL = f"""
SELECT CASE WHEN status IN ('placed', 'held') THEN 'credit'
            WHEN status = 'cancelling' THEN 'cancelling'
            WHEN NOT shipped_fully AND allocation <> 'reserved' THEN 'stock'
            WHEN NOT shipped_fully THEN 'warehouse'
            WHEN NOT invoiced_fully THEN 'invoice'
            ELSE 'payment' END,
       count(*), greatest(extract(epoch FROM now() - min(since)), 0)
FROM ({_ORDERS}) AS waiting GROUP BY 1
"""

GAUGES = (Gauge((WAITING, OLDEST), _SQL, tuple((stage,) for stage in STAGES)),)
