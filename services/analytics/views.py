"""The shapes of what analytics shows over HTTP."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field


class StoryLineView(BaseModel):
    """One public message about an order, in a sentence."""

    message_id: str
    at: datetime
    speaker: str
    type: str
    summary: str


class OrderCycleView(BaseModel):
    """When an order first reached each stage (`paid_at`: its latest closed invoice), and its amounts."""

    order_id: str
    customer_id: str | None
    currency: str | None = Field(description="Null until OrderPlaced was heard")
    status: str
    placed_at: datetime | None
    credit_approved_at: datetime | None
    confirmed_at: datetime | None
    reserved_at: datetime | None
    shipped_at: datetime | None
    invoiced_at: datetime | None
    paid_at: datetime | None
    completed_at: datetime | None
    held_at: datetime | None
    cancelled_at: datetime | None
    rejected_at: datetime | None
    ordered_minor: int
    invoiced_minor: int
    credited_minor: int
    paid_minor: int
    written_off_minor: int


class _PeriodView(BaseModel):
    """A half-open period of days, [from, to)."""

    model_config = ConfigDict(populate_by_name=True)

    first: date = Field(alias="from")
    end: date = Field(alias="to")


class StageView(BaseModel):
    """How many orders reached a stage."""

    stage: str
    orders: int


class FunnelView(_PeriodView):
    """The stages of the straight way, in order, for the orders placed in the period."""

    stages: list[StageView]


class CycleTimeView(BaseModel):
    """Time from one stage to another; null if no order has reached both."""

    begun: str
    done: str
    orders: int
    p50_ms: int | None
    p95_ms: int | None


class CycleTimesView(_PeriodView):
    """Cycle times of the orders placed in the period."""

    pairs: list[CycleTimeView]


class BalanceView(BaseModel):
    """An account of the general ledger in one currency; `balance_minor` = debits − credits."""

    currency: str
    account: str
    debit_minor: int
    credit_minor: int
    balance_minor: int


class TrialBalanceView(BaseModel):
    """All accounts up to and including the day, as heard."""

    on: date
    accounts: list[BalanceView]


class RevenueDayView(BaseModel):
    """Net revenue of a day in one currency, in minor units."""

    day: date
    currency: str
    invoiced_net_minor: int
    credited_net_minor: int
    revenue_minor: int
    invoices: int
    credit_notes: int


class RevenueView(_PeriodView):
    """Net revenue by day of issue."""

    days: list[RevenueDayView]
