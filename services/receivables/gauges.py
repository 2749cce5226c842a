"""What receivables' read tables say of the business at this moment: money that pays nothing yet, and money overdue."""

from shared.money import EXPONENTS
from shared.telemetry.gauges import Gauge
from shared.telemetry.metrics import Metric

_BY_CURRENCY = ("currency",)
UNAPPLIED = Metric("o2c.cash.unapplied", "gauge", "{item}", "Payments and credits that pay nothing yet", _BY_CURRENCY)
UNAPPLIED_MINOR = Metric("o2c.cash.unapplied.minor", "gauge", "{minor unit}", "Their sum in minor units", _BY_CURRENCY)
UNAPPLIED_OLDEST = Metric(
    "o2c.cash.unapplied.oldest",
    "gauge",
    "s",
    "How long one of them has paid nothing at most, since it was recorded that it came or was taken back",
    _BY_CURRENCY,
)
OVERDUE = Metric("o2c.invoices.overdue", "gauge", "{invoice}", "Open invoices past their day", _BY_CURRENCY)
OVERDUE_MINOR = Metric("o2c.invoices.overdue.minor", "gauge", "{minor unit}", "What is open on them", _BY_CURRENCY)
MINOR_DIGITS = Metric(
    "o2c.currency.minor_digits",
    "gauge",
    "{digit}",
    "How many digits of an amount in minor units are behind the point: divide by 10 to the power of this",
    _BY_CURRENCY,
)

_UNAPPLIED = """
SELECT currency, count(*), sum(rest_minor), greatest(extract(epoch FROM now() - min(recorded_at)), 0)
FROM (SELECT currency, rest_minor, recorded_at FROM unapplied WHERE rest_minor > 0
      ORDER BY since_on LIMIT {limit}) AS open
GROUP BY currency
"""
_OVERDUE = """
SELECT currency, count(*), sum(open_minor)
FROM (SELECT currency, open_minor FROM open_items WHERE open_minor > 0 AND due_on < current_date
      ORDER BY due_on LIMIT {limit}) AS open
GROUP BY currency
"""
# The same at all times; it stands beside the amounts so that whoever reads them needs no list of currencies.
_MINOR_DIGITS = "VALUES " + ", ".join(f"('{currency}', {digits})" for currency, digits in EXPONENTS.items())

GAUGES = (
    Gauge((UNAPPLIED, UNAPPLIED_MINOR, UNAPPLIED_OLDEST), _UNAPPLIED),
    Gauge((OVERDUE, OVERDUE_MINOR), _OVERDUE),
    Gauge((MINOR_DIGITS,), _MINOR_DIGITS),
)
