"""The questions that analytics answers from its read tables: stories, funnels, cycle times, balances, revenue."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from shared.errors import ContractError, NotFoundError, Problem
from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

STATUSES: Mapping[str, str] = {
    "completed": "completed_at IS NOT NULL",
    "cancelled": "cancelled_at IS NOT NULL",
    "rejected": "rejected_at IS NOT NULL",
    "invoiced": "invoiced_at IS NOT NULL",
    "shipped": "shipped_at IS NOT NULL",
    "reserved": "reserved_at IS NOT NULL",
    "backordered": "backordered_at IS NOT NULL",
    "confirmed": "confirmed_at IS NOT NULL",
    "held": "held_at IS NOT NULL",
    "placed": "placed_at IS NOT NULL",
}
"""How far an order has come: the first condition that holds."""

PAID_AT = "(CASE WHEN closed_invoices >= coalesce(invoices, 0) THEN paid_at END)"
"""When the last of an order's invoices was closed; null while one is open, again or still."""

FUNNEL: Mapping[str, str] = {
    "placed": "placed_at",
    "credit_approved": "credit_approved_at",
    "confirmed": "confirmed_at",
    "reserved": "reserved_at",
    "shipped": "shipped_at",
    "invoiced": "invoiced_at",
    "paid": PAID_AT,
    "completed": "completed_at",
}
"""The stages of the straight way, in order, and when an order reached each."""

CYCLE_PAIRS = (
    ("placed", "placed_at", "credit_approved", "credit_approved_at"),
    ("placed", "placed_at", "confirmed", "confirmed_at"),
    ("confirmed", "confirmed_at", "reserved", "reserved_at"),
    ("reserved", "reserved_at", "shipped", "shipped_at"),
    ("shipped", "shipped_at", "invoiced", "invoiced_at"),
    ("invoiced", "invoiced_at", "paid", PAID_AT),
    ("placed", "placed_at", "completed", "completed_at"),
)
"""Between which stages time is measured."""

_STATUS = "CASE " + " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in STATUSES.items()) + " END"
_CYCLE_COLUMNS = f"""order_id, customer_id, currency, placed_at, credit_approved_at, confirmed_at, reserved_at,
    shipped_at, invoiced_at, {PAID_AT} AS paid_at, completed_at, held_at, cancelled_at, rejected_at,
    coalesce(ordered_minor, 0) AS ordered_minor, coalesce(invoiced_minor, 0) AS invoiced_minor,
    coalesce(credited_minor, 0) AS credited_minor, coalesce(paid_minor, 0) AS paid_minor,
    coalesce(written_off_minor, 0) AS written_off_minor"""


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


async def story(commands: Commands, order_id: str, cursor: str | None, limit: int) -> dict[str, Any]:
    """A page of what was said about an order, in time order. Raises NotFoundError if nothing ever was."""
    after = decode_cursor(cursor, str, str)
    values: list[Any] = [order_id] if after is None else [order_id, _instant(after[0]), after[1]]
    later = "" if after is None else "AND (at, message_id) > ($2, $3)"
    rows = await commands.fetch(
        f"""SELECT message_id, at, speaker, type, summary FROM order_story
            WHERE order_id = $1 {later} ORDER BY at, message_id LIMIT {limit + 1}""",
        *values,
    )
    if not rows and after is None:
        raise NotFoundError(f"nothing was ever said about order {order_id}")
    return page_of(rows, limit, lambda row: (row["at"].isoformat(), row["message_id"]))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    return at


async def order_cycle(
    commands: Commands, status: str | None, customer_id: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of orders with the instant of every stage and their amounts, by order id."""
    conditions, values = ["true"], list[Any]()
    for condition, value in ((f"({_STATUS}) = ", status), ("customer_id = ", customer_id)):
        if value is not None:
            values.append(value)
            conditions.append(f"{condition}${len(values)}")
    if after := decode_cursor(cursor, str):
        values.append(after[0])
        conditions.append(f"order_id > ${len(values)}")
    rows = await commands.fetch(
        f"""SELECT {_CYCLE_COLUMNS}, coalesce({_STATUS}, 'unknown') AS status FROM order_cycle
            WHERE {" AND ".join(conditions)} ORDER BY order_id LIMIT {limit + 1}""",
        *values,
    )
    return page_of(rows, limit, lambda row: (row["order_id"],))


async def funnel(commands: Commands, first: date, end: date) -> dict[str, Any]:
    """How many of the orders placed in [first, end) reached each stage of the straight way. Days are UTC days."""
    counts = ", ".join(f"count({column}) AS {stage}" for stage, column in FUNNEL.items())
    rows = await commands.fetch(
        f"SELECT {counts} FROM order_cycle WHERE placed_at >= $1 AND placed_at < $2", _midnight(first), _midnight(end)
    )
    return {"from": first, "to": end, "stages": [{"stage": s, "orders": rows[0][s]} for s in FUNNEL]}


async def cycle_times(commands: Commands, first: date, end: date) -> dict[str, Any]:
    """Median and 95th percentile between stages, for orders placed in [first, end). Days are UTC days."""
    measures = []
    for at, (_, begun, _, done) in enumerate(CYCLE_PAIRS):
        seconds = f"extract(epoch FROM {done} - {begun})"
        measures.append(f"count({done} - {begun}) AS orders_{at}")
        for name, fraction in (("p50", 0.5), ("p95", 0.95)):
            measures.append(f"percentile_cont({fraction}) WITHIN GROUP (ORDER BY {seconds}) AS {name}_{at}")
    rows = await commands.fetch(
        f"SELECT {', '.join(measures)} FROM order_cycle WHERE placed_at >= $1 AND placed_at < $2",
        _midnight(first),
        _midnight(end),
    )
    pairs = [_pair(rows[0], at, pair) for at, pair in enumerate(CYCLE_PAIRS)]
    return {"from": first, "to": end, "pairs": pairs}


def _pair(row: Mapping[str, Any], at: int, pair: tuple[str, str, str, str]) -> dict[str, Any]:
    times = {f"{name}_ms": _milliseconds(row[f"{name}_{at}"]) for name in ("p50", "p95")}
    return {"begun": pair[0], "done": pair[2], "orders": row[f"orders_{at}"], **times}


def _milliseconds(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * 1000)


async def trial_balance(commands: Commands, on: date) -> dict[str, Any]:
    """Debits and credits of every account up to and including a day, as heard; each currency's balances sum to 0."""
    rows = await commands.fetch(
        """SELECT currency, account, sum(debit_minor) AS debit_minor, sum(credit_minor) AS credit_minor
           FROM account_balances WHERE posted_on <= $1 GROUP BY currency, account ORDER BY currency, account""",
        on,
    )
    return {"on": on, "accounts": [_balance(row) for row in rows]}


def _balance(row: Mapping[str, Any]) -> dict[str, Any]:
    debit_minor, credit_minor = int(row["debit_minor"]), int(row["credit_minor"])
    sums = {"debit_minor": debit_minor, "credit_minor": credit_minor, "balance_minor": debit_minor - credit_minor}
    return {"currency": row["currency"], "account": row["account"], **sums}


async def revenue(commands: Commands, first: date, end: date) -> dict[str, Any]:
    """Net revenue by day of issue in [first, end) and currency: invoiced less credited, without tax."""
    rows = await commands.fetch(
        """SELECT day, currency, coalesce(invoiced_net_minor, 0) AS invoiced_net_minor,
                  coalesce(credited_net_minor, 0) AS credited_net_minor,
                  coalesce(invoiced_net_minor, 0) - coalesce(credited_net_minor, 0) AS revenue_minor,
                  coalesce(invoices, 0) AS invoices, coalesce(credit_notes, 0) AS credit_notes
           FROM daily_revenue WHERE day >= $1 AND day < $2 ORDER BY day, currency""",
        first,
        end,
    )
    return {"from": first, "to": end, "days": [dict(row) for row in rows]}
