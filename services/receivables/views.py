"""The shapes of the HTTP bodies of receivables: what callers send and what they are shown."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from services.receivables.domain.payment import METHOD_LENGTH_MAX, REFERENCE_LENGTH_MAX
from services.receivables.domain.texts import ID_LENGTH_MAX
from shared.http import Day
from shared.http.described import CURRENCY, text, within
from shared.money import AMOUNT_MINOR_MAX

PERSON_LENGTH_MAX = 100
REASON_LENGTH_MAX = 200

_NOT_BLANK = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
_Id = Annotated[str, text(1, ID_LENGTH_MAX, _NOT_BLANK)]
_Amount = Annotated[StrictInt, within(1, AMOUNT_MINOR_MAX)]
_Person = Annotated[str, text(1, PERSON_LENGTH_MAX, _NOT_BLANK)]


class Body(BaseModel):
    """What a caller sends: unknown fields are mistakes and are refused."""

    model_config = ConfigDict(extra="forbid")


class PaymentBody(Body):
    """Money that came in, with the same fields as the message on `o2c.inbound.payments`."""

    payment_id: _Id = Field(description="The bank's or provider's id; a repeat changes nothing", examples=["PAY-7781"])
    customer_id: _Id = Field(examples=["C-42"])
    amount_minor: _Amount = Field(description="Minor units of `currency`, at least 1", examples=[12050])
    currency: Annotated[str, CURRENCY] = Field(description="ISO 4217", examples=["EUR"])
    value_on: Day = Field(description="The bank's value day", examples=["2026-03-31"])
    method: Annotated[str, text(1, METHOD_LENGTH_MAX, _NOT_BLANK)] = Field("transfer", examples=["transfer", "card"])
    reference: Annotated[str, text(0, REFERENCE_LENGTH_MAX)] = Field(
        "", description="What the payer wrote; invoice numbers in it are paid first"
    )
    order_id: Annotated[str, text(0, ID_LENGTH_MAX)] = Field("", description="Which order a prepayment is for")


class ApplyBody(Body):
    """Which unapplied money shall pay which invoice, open or written off, and who says so."""

    source_id: _Id = Field(description="The payment or credit note whose money is used", examples=["PAY-7781"])
    invoice_id: _Id = Field(examples=["O-1-1"])
    amount_minor: _Amount = Field(
        description="At most what is unapplied, and what is due or written off", ge=1, examples=[12050]
    )
    by: _Person = Field(description="The person who decides", examples=["Ada Byron"])


class UnapplyBody(Body):
    """Which application shall be taken back, in full or in part, and who says so."""

    source_id: _Id = Field(description="The payment or credit note whose money pays the invoice", examples=["PAY-7781"])
    invoice_id: _Id = Field(examples=["O-1-1"])
    amount_minor: _Amount = Field(description="At most what is applied", ge=1, examples=[12050])
    by: _Person = Field(description="The person who decides", examples=["Ada Byron"])


class WriteOffBody(Body):
    """Why what is open shall not be collected, and who says so."""

    by: _Person = Field(description="The person who decides", examples=["Ada Byron"])
    reason: Annotated[str, text(1, REASON_LENGTH_MAX, _NOT_BLANK)] = Field(examples=["Not worth a reminder"])


class PaymentRegisteredView(BaseModel):
    """A payment as registered."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str
    order_id: str


class ApplicationView(BaseModel):
    """What a payment pays of one invoice."""

    invoice_id: str
    number: str
    amount_minor: int
    applied_on: date


class PaymentView(PaymentRegisteredView):
    """A payment, what is left of it, and what it pays."""

    unapplied_minor: int
    applications: list[ApplicationView]


class OpenItemView(BaseModel):
    """An invoice and what is due on it. `status`: `open`, `partly_paid` or `closed`."""

    invoice_id: str
    number: str
    order_id: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date
    total_minor: int
    open_minor: int
    status: str


class UnappliedView(BaseModel):
    """Money of a customer that pays nothing yet. `kind`: `payment` or `credit_note`.

    `since_on`: its day of value, or on which it was taken back; `recorded_at`: when we heard of that.
    """

    source_id: _Id
    kind: str
    customer_id: str
    currency: str
    rest_minor: int
    since_on: date
    recorded_at: datetime
    reference: str
    order_id: str


class BalanceView(BaseModel):
    """What a customer owes and is owed in one currency."""

    currency: str
    open_minor: int
    unapplied_minor: int


class AccountView(BaseModel):
    """A customer's account; `more`: there are further items on /open-items or /unapplied."""

    customer_id: str
    balances: list[BalanceView]
    open_items: list[OpenItemView]
    unapplied: list[UnappliedView]
    more: bool


class JournalLineView(BaseModel):
    """One side of a journal entry."""

    entry_id: str
    line_no: int
    posted_on: date
    account: str
    debit_minor: int
    credit_minor: int
    currency: str
    customer_id: str
    document: str
    order_id: str


class AccountBalanceView(BaseModel):
    """An account of the general ledger in one currency; `balance_minor` = debits − credits."""

    currency: str
    account: str
    name: str
    debit_minor: int
    credit_minor: int
    balance_minor: int


class TrialBalanceView(BaseModel):
    """All accounts up to and including the day; the balances of each currency sum to 0."""

    on: date
    accounts: list[AccountBalanceView]


class AgingRowView(BaseModel):
    """What was open in one currency, by days past due."""

    currency: str
    total_minor: int
    current_minor: int
    due_1_30_minor: int
    due_31_60_minor: int
    due_61_90_minor: int
    due_over_90_minor: int


class AgingView(BaseModel):
    """Aging as of the end of a day; the total of a currency is its trade receivables of that day."""

    on: date
    currencies: list[AgingRowView]
