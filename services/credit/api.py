"""HTTP routes of credit: accounts, their limits and holds, and the queue of orders that wait for a decision."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.credit import queries
from services.credit.domain.credit_account import CreditAccount, credit_account
from services.credit.domain.credit_commands import (
    ApproveCredit,
    CreditCommand,
    DeclineCredit,
    HoldAccount,
    ReleaseAccount,
    SetCreditLimit,
)
from services.credit.domain.credit_facts import POLICY
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To
from shared.http import PROBLEMS, Cursor, ExpectedVersion, Limit, Page, Trace, etag
from shared.http.parameters import PAGE_SIZE
from shared.money import AMOUNT_MINOR_MAX

ID_PATTERN = "^[A-Za-z0-9._-]{1,64}$"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"

Id = Annotated[str, Path(pattern=ID_PATTERN)]
Text = Annotated[str, StringConstraints(strict=True, max_length=500, pattern=TEXT_PATTERN)]


def _is_person(name: str) -> str:
    if name == POLICY:
        raise ValueError(f"{POLICY!r} is what decisions without a person are signed with")
    return name


Name = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=100, pattern=TEXT_PATTERN),
    AfterValidator(_is_person),
]


class Body(BaseModel):
    """A request body; unknown fields are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid")


class LimitBody(Body):
    """The new limit in minor units of the account's currency."""

    limit_minor: Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MINOR_MAX, examples=[1_000_000])]


class HoldBody(Body):
    """Why nothing is approved for this customer; `reason` is for people."""

    reason: Annotated[Text, Field(min_length=1, examples=["Insolvency announced"])]


class DecisionBody(Body):
    """Who decides on a waiting order, and why."""

    by: Annotated[Name, Field(examples=["Ada Byron"])]
    reason: Annotated[Text, Field(examples=["Bank guarantee received"])] = ""


class AccountView(BaseModel):
    """A credit account. exposure = reserved + invoiced − credited − received − written off; amounts in minor units."""

    customer_id: str = Field(examples=["C-42"])
    currency: str = Field(examples=["EUR"])
    limit_minor: int = Field(examples=[1_000_000])
    held: bool
    hold_reason: str
    exposure_minor: int = Field(examples=[250_000])
    available_minor: int = Field(examples=[750_000], description="limit − exposure; negative when over the limit")
    reserved_minor: int = Field(description="Orders approved and not yet invoiced")
    invoiced_minor: int
    credited_minor: int
    received_minor: int
    written_off_minor: int
    waiting: int = Field(description="Orders that wait for credit")


class ReviewView(BaseModel):
    """An order that had to wait for credit. `decided_by` is a person or `policy`."""

    order_id: str = Field(examples=["O-1"])
    customer_id: str = Field(examples=["C-42"])
    status: Literal["referred", "declined", "declined_by_person", "approved", "withdrawn"]
    reason: str = Field(examples=["limit_exceeded"])
    amount_minor: int = Field(examples=[40_000])
    currency: str = Field(examples=["EUR"])
    excess_minor: int | None = Field(description="By how much a referred order exceeded the limit")
    available_minor: int | None = Field(description="What was available when the order was declined")
    decided_by: str | None
    note: str | None
    requested_at: datetime
    decided_at: datetime | None


Status = Annotated[
    Literal["referred", "declined", "declined_by_person", "approved", "withdrawn"] | None,
    Query(description="Without it: everything that still waits for a decision"),
]


def routes(commands: Commands) -> APIRouter:
    """The routes of the credit service."""
    router = APIRouter(responses=PROBLEMS)
    _account_routes(router, commands)
    _review_routes(router, commands)
    return router


def _account_routes(router: APIRouter, commands: Commands) -> None:
    async def manage(response: Response, command: CreditCommand, expected: int | None, trace: str) -> AccountView:
        return await _execute(commands, response, command, command.customer_id, expected, trace)

    @router.get("/credit-accounts", response_model=Page[AccountView], tags=["credit accounts"])
    async def list_credit_accounts(cursor: Cursor = None, limit: Limit = PAGE_SIZE) -> dict[str, Any]:
        """Credit accounts by customer id."""
        return await queries.accounts(commands, cursor, limit)

    @router.get("/credit-accounts/{customer_id}", tags=["credit accounts"])
    async def get_credit_account(customer_id: Id, response: Response) -> AccountView:
        """A credit account as it is at this moment; the ETag is its version."""
        state, version = await commands.state(credit_account, customer_id)
        if not state.opened:
            raise NotFoundError(f"customer {customer_id} has no credit account")
        response.headers["ETag"] = etag(version)
        return account_view(customer_id, state)

    @router.put("/credit-accounts/{customer_id}/limit", tags=["credit accounts"])
    async def set_credit_limit(
        customer_id: Id, body: LimitBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> AccountView:
        """Set the limit. A higher one lets waiting orders go on, oldest first."""
        return await manage(response, SetCreditLimit(customer_id, body.limit_minor), expected, trace)

    @router.post("/credit-accounts/{customer_id}/hold", tags=["credit accounts"])
    async def hold_credit_account(
        customer_id: Id, body: HoldBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> AccountView:
        """Approve nothing for this customer until released. Orders already approved go on."""
        return await manage(response, HoldAccount(customer_id, body.reason), expected, trace)

    @router.post("/credit-accounts/{customer_id}/release", tags=["credit accounts"])
    async def release_credit_account(
        customer_id: Id, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> AccountView:
        """End the hold. Waiting orders that fit the limit go on, oldest first."""
        return await manage(response, ReleaseAccount(customer_id), expected, trace)


def _review_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/credit-reviews", response_model=Page[ReviewView], tags=["credit reviews"])
    async def list_credit_reviews(
        cursor: Cursor = None,
        limit: Limit = PAGE_SIZE,
        status: Status = None,
        customer_id: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    ) -> dict[str, Any]:
        """Orders that wait for credit, oldest first."""
        return await queries.reviews(commands, cursor, limit, status, customer_id)

    @router.post("/credit-reviews/{order_id}/approve", tags=["credit reviews"])
    async def approve_credit(
        order_id: Id, body: DecisionBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> AccountView:
        """Let a waiting order go on, whatever the limit. Answers with the account; If-Match is the account's ETag."""
        customer_id = await queries.customer_of_review(commands, order_id)
        command = ApproveCredit(order_id, customer_id, body.by, body.reason)
        return await _execute(commands, response, command, order_id, expected, trace)

    @router.post("/credit-reviews/{order_id}/decline", tags=["credit reviews"])
    async def decline_credit(
        order_id: Id, body: DecisionBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> AccountView:
        """Decline a waiting order: it is not tried again by itself. Answers with the account."""
        customer_id = await queries.customer_of_review(commands, order_id)
        command = DeclineCredit(order_id, customer_id, body.by, body.reason)
        return await _execute(commands, response, command, order_id, expected, trace)


async def _execute(
    commands: Commands, response: Response, command: CreditCommand, corr: str, expected: int | None, trace: str
) -> AccountView:
    to = To(credit_account, command.customer_id, command, expected)
    outcome = await commands.execute(to, corr=corr, trace=trace)
    response.headers["ETag"] = etag(outcome.version)
    return account_view(command.customer_id, outcome.state)


def account_view(customer_id: str, state: CreditAccount) -> AccountView:
    """A folded account as callers see it."""
    book = state.book
    return AccountView(
        customer_id=customer_id,
        currency=state.currency,
        limit_minor=state.limit_minor,
        held=state.held,
        hold_reason=state.hold_reason,
        exposure_minor=book.exposure_minor,
        available_minor=state.available_minor,
        reserved_minor=book.reserved_minor,
        invoiced_minor=book.invoiced_minor,
        credited_minor=book.credited_minor,
        received_minor=book.received_minor,
        written_off_minor=book.written_off_minor,
        waiting=len(state.requests),
    )
