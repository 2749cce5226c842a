"""The questions that receivables answers from its read tables: what is open, unapplied, posted and overdue."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.receivables.domain.accounts import CHART
from shared.errors import ContractError, NotFoundError, Problem
from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

ACCOUNT_ROWS_MAX = 500  # A busy customer has thousands of open items: the rest is on the pages of /open-items.

_ITEM = """invoice_id, number, order_id, customer_id, currency, issued_on, due_on, total_minor, open_minor,
    CASE WHEN open_minor = 0 THEN 'closed' WHEN open_minor < total_minor THEN 'partly_paid' ELSE 'open' END AS status"""
_CREDIT = "source_id, kind, customer_id, currency, rest_minor, since_on, recorded_at, reference, order_id"


class _Where:
    """Conditions with numbered parameters, joined by AND: only fixed texts become SQL."""

    def __init__(self, *fixed: str) -> None:
        self._conditions = list(fixed)
        self.values: list[Any] = []

    def add(self, condition: str, *values: Any) -> None:
        """A condition with one `{}` per value."""
        first = len(self.values) + 1
        self._conditions.append(condition.format(*(f"${first + i}" for i in range(len(values)))))
        self.values.extend(values)

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")]) from error


async def open_items(
    commands: Commands, customer_id: str | None, overdue_on: date | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of what is open now, oldest due first; `overdue_on`: only what was due before that day."""
    where = _Where("open_minor > 0")
    if customer_id is not None:
        where.add("customer_id = {}", customer_id)
    if overdue_on is not None:
        where.add("due_on < {}", overdue_on)
    if after := decode_cursor(cursor, str, str):
        where.add("(due_on, invoice_id) > ({}, {})", _day(after[0]), after[1])
    sql = f"SELECT {_ITEM} FROM open_items WHERE {where} ORDER BY due_on, invoice_id LIMIT {limit + 1}"
    rows = await commands.fetch(sql, *where.values)
    return page_of(rows, limit, lambda row: (row["due_on"].isoformat(), row["invoice_id"]))


async def open_item(commands: Commands, invoice_id: str) -> Mapping[str, Any]:
    """One invoice, open or closed. Raises NotFoundError for one that was never booked."""
    rows = await commands.fetch(f"SELECT {_ITEM} FROM open_items WHERE invoice_id = $1", invoice_id)
    if not rows:
        raise NotFoundError(f"there is no invoice {invoice_id}")
    return dict(rows[0])


async def unapplied(commands: Commands, customer_id: str | None, cursor: str | None, limit: int) -> dict[str, Any]:
    """A page of the queue of unapplied money, oldest first."""
    where = _Where("rest_minor > 0")
    if customer_id is not None:
        where.add("customer_id = {}", customer_id)
    if after := decode_cursor(cursor, str, str, str):
        where.add("(since_on, source_id, currency) > ({}, {}, {})", _day(after[0]), *after[1:])
    order = "since_on, source_id, currency"
    sql = f"SELECT {_CREDIT} FROM unapplied WHERE {where} ORDER BY {order} LIMIT {limit + 1}"
    rows = await commands.fetch(sql, *where.values)
    return page_of(rows, limit, lambda row: (row["since_on"].isoformat(), row["source_id"], row["currency"]))


async def account(commands: Commands, customer_id: str) -> dict[str, Any]:
    """A customer's sums per currency, and their oldest open items and unapplied money (500 of each at most)."""
    balances = await commands.fetch(
        """SELECT currency, sum(due) AS open_minor, sum(credit) AS unapplied_minor FROM (
               SELECT currency, open_minor AS due, 0 AS credit FROM open_items
               WHERE customer_id = $1 AND open_minor > 0
               UNION ALL
               SELECT currency, 0, rest_minor FROM unapplied WHERE customer_id = $1 AND rest_minor > 0
           ) AS both_sides GROUP BY currency ORDER BY currency""",
        customer_id,
    )
    items = await open_items(commands, customer_id, None, None, ACCOUNT_ROWS_MAX)
    credits = await unapplied(commands, customer_id, None, ACCOUNT_ROWS_MAX)
    return {
        "customer_id": customer_id,
        "balances": [_whole(row) for row in balances],
        "open_items": items["items"],
        "unapplied": credits["items"],
        "more": items["next"] is not None or credits["next"] is not None,
    }


async def payment(commands: Commands, payment_id: str) -> dict[str, Any]:
    """A payment, what is left of it, and which invoices it pays. Raises NotFoundError."""
    rows = await commands.fetch(
        """SELECT p.*, coalesce(u.rest_minor, 0) AS unapplied_minor
           FROM payments p LEFT JOIN unapplied u ON u.source_id = p.payment_id AND u.currency = p.currency
           WHERE p.payment_id = $1""",
        payment_id,
    )
    if not rows:
        raise NotFoundError(f"there is no payment {payment_id}")
    return {**rows[0], "applications": await _applications(commands, payment_id, rows[0]["currency"])}


async def _applications(commands: Commands, source_id: str, currency: str) -> list[dict[str, Any]]:
    rows = await commands.fetch(
        """SELECT m.invoice_id, i.number, -sum(m.amount_minor)::bigint AS amount_minor,
                  max(m.effective_on) AS applied_on
           FROM item_movements m JOIN open_items i USING (invoice_id)
           WHERE m.source_id = $1 AND m.source_id <> '' AND m.currency = $2 AND m.kind IN ('applied', 'unapplied')
           GROUP BY m.invoice_id, i.number HAVING sum(m.amount_minor) < 0 ORDER BY m.invoice_id""",
        source_id,
        currency,
    )
    return [dict(row) for row in rows]


async def application(commands: Commands, customer_id: str, source_id: str, invoice_id: str) -> Mapping[str, Any]:
    """How much of a source pays an invoice of this customer, and the invoice itself. Raises NotFoundError."""
    rows = await commands.fetch(
        """SELECT i.number, i.order_id, i.currency, i.total_minor, i.due_on,
                  -sum(m.amount_minor)::bigint AS applied_minor, max(m.effective_on) AS applied_on
           FROM item_movements m JOIN open_items i USING (invoice_id)
           WHERE m.invoice_id = $1 AND m.source_id = $2 AND i.customer_id = $3 AND m.kind IN ('applied', 'unapplied')
           GROUP BY i.invoice_id HAVING sum(m.amount_minor) < 0""",
        invoice_id,
        source_id,
        customer_id,
    )
    if not rows:
        raise NotFoundError(f"no money of {source_id} pays invoice {invoice_id} of customer {customer_id}")
    return dict(rows[0])


async def journal(
    commands: Commands, day: date | None, ledger_account: str | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """A page of journal lines in order of their days, of one day or account if asked."""
    where = _Where()
    if day is not None:
        where.add("posted_on = {}", day)
    if ledger_account is not None:
        where.add("account = {}", ledger_account)
    if after := decode_cursor(cursor, str, str, int):
        where.add("(posted_on, entry_id, line_no) > ({}, {}, {})", _day(after[0]), after[1], _line_no(after[2]))
    order = "posted_on, entry_id, line_no"
    rows = await commands.fetch(
        f"SELECT * FROM journal_lines WHERE {where} ORDER BY {order} LIMIT {limit + 1}", *where.values
    )
    return page_of(rows, limit, lambda row: (row["posted_on"].isoformat(), row["entry_id"], row["line_no"]))


def _line_no(number: int) -> int:
    if not 0 < number < 2**31:
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    return number


async def trial_balance(commands: Commands, on: date) -> dict[str, Any]:
    """Debits and credits of every account up to and including a day, per currency; the balances of each sum to 0."""
    rows = await commands.fetch(
        """SELECT currency, account, sum(debit_minor) AS debit_minor, sum(credit_minor) AS credit_minor
           FROM journal_lines WHERE posted_on <= $1 GROUP BY currency, account ORDER BY currency, account""",
        on,
    )
    return {"on": on, "accounts": [_balance(row) for row in rows]}


def _balance(row: Mapping[str, Any]) -> dict[str, Any]:
    debit_minor, credit_minor = int(row["debit_minor"]), int(row["credit_minor"])
    sums = {"debit_minor": debit_minor, "credit_minor": credit_minor, "balance_minor": debit_minor - credit_minor}
    return {"currency": row["currency"], "account": row["account"], "name": CHART[row["account"]], **sums}


async def aging(commands: Commands, on: date) -> dict[str, Any]:
    """What was open at the end of a day by how long it was due then, per currency.

    It counts what took effect up to that day and nothing later (rule 29), so the sum of a currency's buckets is the
    balance of its trade receivables of that day.
    """
    rows = await commands.fetch(
        """SELECT m.currency, sum(amount_minor) AS total_minor,
                  coalesce(sum(amount_minor) FILTER (WHERE $1::date - due_on <= 0), 0) AS current_minor,
                  coalesce(sum(amount_minor) FILTER (WHERE $1::date - due_on BETWEEN 1 AND 30), 0) AS due_1_30_minor,
                  coalesce(sum(amount_minor) FILTER (WHERE $1::date - due_on BETWEEN 31 AND 60), 0) AS due_31_60_minor,
                  coalesce(sum(amount_minor) FILTER (WHERE $1::date - due_on BETWEEN 61 AND 90), 0) AS due_61_90_minor,
                  coalesce(sum(amount_minor) FILTER (WHERE $1::date - due_on > 90), 0) AS due_over_90_minor
           FROM item_movements m JOIN open_items i USING (invoice_id)
           WHERE m.effective_on <= $1::date GROUP BY m.currency ORDER BY m.currency""",
        on,
    )
    return {"on": on, "currencies": [_whole(row) for row in rows]}


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name == "currency" else int(value) for name, value in row.items()}
