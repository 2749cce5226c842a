"""Read tables of credit: one row per account, and one row per order that ever had to wait."""

from collections.abc import Iterable

from services.credit.domain.credit_account import CreditAccount, credit_account
from services.credit.domain.credit_facts import (
    POLICY,
    CreditApproved,
    CreditDeclined,
    CreditReferred,
    CreditRequestWithdrawn,
)
from shared.eventsourced.facts import Recorded, instant_of
from shared.eventsourced.projecting import Column, FactProjection, Projection, Row, StateProjection, Table

CREDIT_ACCOUNTS = Table(
    "credit_accounts",
    (Column("customer_id", "text"),),
    (
        Column("currency", "text"),
        Column("limit_minor", "bigint"),
        Column("held", "boolean"),
        Column("hold_reason", "text"),
        Column("exposure_minor", "numeric"),
        Column("reserved_minor", "numeric"),
        Column("invoiced_minor", "numeric"),
        Column("credited_minor", "numeric"),
        Column("received_minor", "numeric"),
        Column("written_off_minor", "numeric"),
        Column("waiting", "integer"),
    ),
)

CREDIT_REVIEWS = Table(
    "credit_reviews",
    (Column("order_id", "text"),),
    (
        Column("customer_id", "text"),
        Column("status", "text"),
        Column("reason", "text"),
        Column("amount_minor", "bigint"),
        Column("currency", "text"),
        Column("excess_minor", "numeric"),
        Column("available_minor", "numeric"),
        Column("decided_by", "text"),
        Column("note", "text"),
        Column("requested_at", "timestamptz", "first"),
        Column("decided_at", "timestamptz"),
    ),
)


def account_row(key: str, state: CreditAccount) -> Row | None:
    """An account is listed from the moment it is opened; amounts are those of its own currency."""
    if not state.opened:
        return None
    book = state.book
    return (
        key,
        state.currency,
        state.limit_minor,
        state.held,
        state.hold_reason,
        book.exposure_minor,
        book.reserved_minor,
        book.invoiced_minor,
        book.credited_minor,
        book.received_minor,
        book.written_off_minor,
        len(state.requests),
    )


def declined_rows(recorded: Recorded) -> Iterable[Row]:
    """An order joins the queue, or a person took it out by declining it."""
    f: CreditDeclined = recorded.fact
    at = instant_of(recorded.meta.at)
    if f.declined_by == POLICY:
        status, by, decided_at = "declined", None, None
    else:
        status, by, decided_at = "declined_by_person", f.declined_by, at
    amounts = (f.amount_minor, f.currency, None, f.available_minor)
    return ((f.order_id, f.customer_id, status, f.reason, *amounts, by, f.note or None, at, decided_at),)


def referred_rows(recorded: Recorded) -> Iterable[Row]:
    """An order joins the queue for a person."""
    f: CreditReferred = recorded.fact
    amounts = (f.amount_minor, f.currency, f.excess_minor, None)
    return (
        (f.order_id, f.customer_id, "referred", f.reason, *amounts, None, None, instant_of(recorded.meta.at), None),
    )


def approved_rows(recorded: Recorded) -> Iterable[Row]:
    """An order leaves the queue. One that never waited was never in it."""
    f: CreditApproved = recorded.fact
    if not f.waited:
        return ()
    return (_decided(recorded, "approved", f.approved_by, f.note or None),)


def withdrawn_rows(recorded: Recorded) -> Iterable[Row]:
    """An order leaves the queue because it ended."""
    return (_decided(recorded, "withdrawn", None, None),)


def _decided(recorded: Recorded, status: str, by: str | None, note: str | None) -> Row:
    unchanged = (None,) * 5
    return (recorded.fact.order_id, None, status, *unchanged, by, note, None, instant_of(recorded.meta.at))


PROJECTIONS: tuple[Projection, ...] = (
    StateProjection(CREDIT_ACCOUNTS, credit_account, account_row),
    FactProjection(
        CREDIT_REVIEWS,
        {
            CreditDeclined: declined_rows,
            CreditReferred: referred_rows,
            CreditApproved: approved_rows,
            CreditRequestWithdrawn: withdrawn_rows,
        },
    ),
)
