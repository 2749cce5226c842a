"""Questions about credit, answered from the read tables."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.errors import ContractError, NotFoundError, Problem
from shared.eventsourced.commands import Commands
from shared.http import decode_cursor, page_of

_ACCOUNTS = """
SELECT customer_id, currency, limit_minor, held, hold_reason, exposure_minor, limit_minor - exposure_minor AS
       available_minor, reserved_minor, invoiced_minor, credited_minor, received_minor, written_off_minor, waiting
FROM credit_accounts WHERE customer_id > $1 ORDER BY customer_id LIMIT $2
"""

_REVIEWS = """
SELECT order_id, customer_id, status, reason, amount_minor, currency, excess_minor, available_minor, decided_by, note,
       requested_at, decided_at
FROM credit_reviews
WHERE {conditions} AND (requested_at, order_id) > ($1, $2)
ORDER BY requested_at, order_id LIMIT $3
"""

_CUSTOMER_OF_REVIEW = "SELECT customer_id FROM credit_reviews WHERE order_id = $1"

_FIRST = ("0001-01-02T00:00:00+00:00", "")


async def accounts(commands: Commands, cursor: str | None, limit: int) -> dict[str, Any]:
    """A page of credit accounts by customer id."""
    (after,) = decode_cursor(cursor, str) or ("",)
    rows = await commands.fetch(_ACCOUNTS, after, limit + 1)
    return page_of(rows, limit, lambda row: [row["customer_id"]])


async def reviews(
    commands: Commands, cursor: str | None, limit: int, status: str | None, customer_id: str | None
) -> dict[str, Any]:
    """A page of orders that wait for credit (`status` None) or of those with this status, oldest first."""
    since, order_id = decode_cursor(cursor, str, str) or _FIRST
    args: list[Any] = [_instant(since), order_id, limit + 1]
    conditions = ["status IN ('referred', 'declined')"]
    if status is not None:
        args.append(status)
        conditions = [f"status = ${len(args)}"]
    if customer_id is not None:
        args.append(customer_id)
        conditions.append(f"customer_id = ${len(args)}")
    rows = await commands.fetch(_REVIEWS.format(conditions=" AND ".join(conditions)), *args)
    return page_of(rows, limit, _review_key)


async def customer_of_review(commands: Commands, order_id: str) -> str:
    """Whose order it is; NotFoundError for an order that never had to wait."""
    rows = await commands.fetch(_CUSTOMER_OF_REVIEW, order_id)
    if not rows:
        raise NotFoundError(f"order {order_id} never had to wait for credit")
    return str(rows[0]["customer_id"])


def _review_key(row: Mapping[str, Any]) -> list[str | int]:
    return [row["requested_at"].astimezone(UTC).isoformat(), row["order_id"]]


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is not UTC:
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    return instant
