"""The HTTP face of analytics: read-only."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query

from services.analytics import queries
from services.analytics.views import (
    CycleTimesView,
    FunnelView,
    OrderCycleView,
    RevenueView,
    StoryLineView,
    TrialBalanceView,
)
from shared.errors import Problem
from shared.eventsourced.commands import Commands
from shared.http import PROBLEMS, Cursor, Day, Limit, Page, invalid

_ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"
Status = Literal[
    "placed",
    "held",
    "confirmed",
    "backordered",
    "reserved",
    "shipped",
    "invoiced",
    "rejected",
    "cancelled",
    "completed",
]


def _period(
    first: Annotated[Day, Query(alias="from", description="First day (UTC)")],
    end: Annotated[Day, Query(alias="to", description="The day after the last")],
) -> tuple[date, date]:
    invalid([] if first < end else [Problem("to", "empty_period", "must be after `from`")])
    return first, end


Period = Annotated[tuple[date, date], Depends(_period)]
"""A half-open period of days, [from, to)."""


def routes(commands: Commands) -> APIRouter:
    """All routes."""
    router = APIRouter(tags=["analytics"], responses=PROBLEMS)
    _order_routes(router, commands)
    _figure_routes(router, commands)
    return router


def _order_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/orders/{order_id}/story", response_model=Page[StoryLineView])
    async def get_story(
        order_id: Annotated[str, Path(max_length=128, pattern=_ID_PATTERN)], cursor: Cursor = None, limit: Limit = 200
    ) -> Any:
        """Everything that was said about an order, in time order."""
        return await queries.story(commands, order_id, cursor, limit)

    @router.get("/order-cycle", response_model=Page[OrderCycleView])
    async def list_order_cycle(
        stage: Status | None = None,
        customer_id: Annotated[str | None, Query(max_length=128, pattern=_ID_PATTERN)] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Any:
        """Orders with the instant of every stage; `stage`: how far they have come."""
        return await queries.order_cycle(commands, stage, customer_id, cursor, limit)


def _figure_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/funnel", response_model=FunnelView)
    async def get_funnel(period: Period) -> Any:
        """How many of the orders placed in a period reached each stage."""
        return await queries.funnel(commands, *period)

    @router.get("/cycle-times", response_model=CycleTimesView)
    async def get_cycle_times(period: Period) -> Any:
        """Median and 95th percentile between stages, for orders placed in a period."""
        return await queries.cycle_times(commands, *period)

    @router.get("/trial-balance", response_model=TrialBalanceView)
    async def get_trial_balance(on: Day) -> Any:
        """Every account up to and including a day, as heard of receivables."""
        return await queries.trial_balance(commands, on)

    @router.get("/revenue", response_model=RevenueView)
    async def get_revenue(period: Period) -> Any:
        """Net revenue by day of issue and currency."""
        return await queries.revenue(commands, *period)
