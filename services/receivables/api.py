"""The HTTP face of receivables: money in, the clerks' queues, the journal and its reports."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Response

from services.receivables import queries
from services.receivables.domain.account import account
from services.receivables.domain.account_facts import ApplyCash, UnapplyCash, WriteOff
from services.receivables.domain.payment import RegisterPayment, checked_payment, payment
from services.receivables.domain.texts import ID_LENGTH_MAX, text_problems
from services.receivables.views import (
    PERSON_LENGTH_MAX,
    REASON_LENGTH_MAX,
    AccountView,
    AgingView,
    ApplyBody,
    JournalLineView,
    OpenItemView,
    PaymentBody,
    PaymentRegisteredView,
    PaymentView,
    TrialBalanceView,
    UnappliedView,
    UnapplyBody,
    WriteOffBody,
)
from shared.errors import NotFoundError, Problem
from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To
from shared.http import PROBLEMS, Cursor, Day, Limit, Page, SeenVersion, Trace, etag, invalid

_ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"
Id = Annotated[str, Path(max_length=ID_LENGTH_MAX, pattern=_ID_PATTERN)]
CustomerFilter = Annotated[str | None, Query(max_length=ID_LENGTH_MAX, pattern=_ID_PATTERN)]


def routes(commands: Commands, today: Callable[[], date]) -> APIRouter:
    """All routes. `today`: the day on which a person's decision takes effect, in the house's zone."""
    router = APIRouter(tags=["receivables"], responses=PROBLEMS)
    _payment_routes(router, commands)
    _account_routes(router, commands, today)
    _item_routes(router, commands, today)
    _ledger_routes(router, commands)
    return router


def _payment_routes(router: APIRouter, commands: Commands) -> None:
    @router.post(
        "/payments",
        status_code=201,
        response_model=PaymentRegisteredView,
        responses={200: {"model": PaymentRegisteredView, "description": "An exact repeat: nothing was stored"}},
    )
    async def register_payment(body: PaymentBody, response: Response, trace: Trace) -> Any:
        """Take in a payment. The same id with other content is a 409."""
        command = checked_payment(RegisterPayment(**body.model_dump()))
        outcome = await commands.execute(To(payment, command.payment_id, command), corr=body.order_id, trace=trace)
        response.status_code = 201 if outcome.facts else 200
        response.headers["ETag"] = etag(outcome.version)
        return msgspec.to_builtins(outcome.state.registered)

    @router.get("/payments/{payment_id:path}", response_model=PaymentView)
    async def get_payment(payment_id: Id) -> Any:
        """A payment, what it pays, and what is left of it."""
        return await queries.payment(commands, payment_id)

    @router.get("/unapplied", response_model=Page[UnappliedView])
    async def list_unapplied(customer_id: CustomerFilter = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
        """The queue of money that pays nothing yet, oldest first."""
        return await queries.unapplied(commands, customer_id, cursor, limit)


def _account_routes(router: APIRouter, commands: Commands, today: Callable[[], date]) -> None:
    @router.get("/accounts/{customer_id}", response_model=AccountView)
    async def get_account(customer_id: Id, response: Response) -> Any:
        """What a customer owes and is owed. The ETag is what apply and unapply want as If-Match."""
        # The version is read first: if rows are newer than it, a decision made on them fails safely (412).
        _, version = await commands.state(account, customer_id)
        if not version:
            raise NotFoundError(f"customer {customer_id} has no account")
        response.headers["ETag"] = etag(version)
        return await queries.account(commands, customer_id)

    @router.post("/accounts/{customer_id}/apply", response_model=OpenItemView)
    async def apply_cash(customer_id: Id, body: ApplyBody, response: Response, seen: SeenVersion, trace: Trace) -> Any:
        """Apply unapplied money to an invoice, open or written off. If-Match is required against applying twice."""
        invalid([*_body_problems(body), *_unseen(seen)])
        command = ApplyCash(body.source_id, body.invoice_id, customer_id, body.amount_minor, body.by, today())
        outcome = await commands.execute(To(account, customer_id, command, seen), trace=trace)
        response.headers["ETag"] = etag(outcome.version)
        return await queries.open_item(commands, body.invoice_id)

    @router.post("/accounts/{customer_id}/unapply", response_model=OpenItemView)
    async def unapply_cash(
        customer_id: Id, body: UnapplyBody, response: Response, seen: SeenVersion, trace: Trace
    ) -> Any:
        """Take an application back: the invoice is open again, the money is credit. If-Match is required."""
        invalid([*_body_problems(body), *_unseen(seen)])
        # What is read here cannot be older than `seen`, and the command is refused if it is newer.
        found = await queries.application(commands, customer_id, body.source_id, body.invoice_id)
        command = _unapply(customer_id, body, found, today())
        outcome = await commands.execute(To(account, customer_id, command, seen), trace=trace)
        response.headers["ETag"] = etag(outcome.version)
        return await queries.open_item(commands, body.invoice_id)


def _item_routes(router: APIRouter, commands: Commands, today: Callable[[], date]) -> None:
    @router.get("/open-items", response_model=Page[OpenItemView])
    async def list_open_items(
        customer_id: CustomerFilter = None, overdue_on: Day | None = None, cursor: Cursor = None, limit: Limit = 50
    ) -> Any:
        """What is open now, oldest due first; `overdue_on`: only what was due before that day."""
        return await queries.open_items(commands, customer_id, overdue_on, cursor, limit)

    @router.post("/open-items/{invoice_id}/write-off", response_model=OpenItemView)
    async def write_off(invoice_id: Id, body: WriteOffBody, response: Response, seen: SeenVersion, trace: Trace) -> Any:
        """Give up what is open on an invoice, by a person and for a reason."""
        invalid(
            [
                *text_problems("by", body.by, PERSON_LENGTH_MAX, required=True),
                *text_problems("reason", body.reason, REASON_LENGTH_MAX, required=True),
                *_unseen(seen),
            ]
        )
        customer_id = (await queries.open_item(commands, invoice_id))["customer_id"]
        command = WriteOff(invoice_id, customer_id, body.reason, body.by, today())
        outcome = await commands.execute(To(account, customer_id, command, seen), trace=trace)
        response.headers["ETag"] = etag(outcome.version)
        return await queries.open_item(commands, invoice_id)


def _ledger_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/journal", response_model=Page[JournalLineView])
    async def list_journal(
        day: Day | None = None,
        ledger_account: Annotated[str | None, Query(alias="account", pattern=r"^[0-9]{4}$")] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Any:
        """Journal lines in order of their days."""
        return await queries.journal(commands, day, ledger_account, cursor, limit)

    @router.get("/trial-balance", response_model=TrialBalanceView)
    async def get_trial_balance(on: Day) -> Any:
        """Every account up to and including a day, per currency."""
        return await queries.trial_balance(commands, on)

    @router.get("/aging", response_model=AgingView)
    async def get_aging(on: Day) -> Any:
        """What was open at the end of a day, by how long it was due then."""
        return await queries.aging(commands, on)


def _body_problems(body: ApplyBody | UnapplyBody) -> list[Problem]:
    return [
        *text_problems("source_id", body.source_id, ID_LENGTH_MAX, required=True),
        *text_problems("invoice_id", body.invoice_id, ID_LENGTH_MAX, required=True),
        *text_problems("by", body.by, PERSON_LENGTH_MAX, required=True),
    ]


def _unseen(seen: int | None) -> list[Problem]:
    return [] if seen is not None else [Problem("If-Match", "missing", "must be the ETag of the account")]


def _unapply(customer_id: str, body: UnapplyBody, found: Any, on: date) -> UnapplyCash:
    return UnapplyCash(
        source_id=body.source_id,
        invoice_id=body.invoice_id,
        invoice_number=found["number"],
        order_id=found["order_id"],
        customer_id=customer_id,
        currency=found["currency"],
        total_minor=found["total_minor"],
        due_on=found["due_on"],
        applied_minor=found["applied_minor"],
        applied_on=found["applied_on"],
        amount_minor=body.amount_minor,
        by=body.by,
        on=on,
    )
