"""HTTP routes of orders: placing, reading, cancelling and rejecting them; `masters_api.py` adds what is behind them."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Header, Path, Query, Response, status
from pydantic import BaseModel, Field, StrictBool, StrictInt

from services.order import queries
from services.order.domain.checks import (
    INVOICE_ON,
    LINES_MAX,
    QUANTITY_MAX,
    REASON_LENGTH_MAX,
    id_problems,
    order_problems,
    text_problems,
)
from services.order.domain.order import Invoice, Order, Status, order
from services.order.domain.order_commands import CancelOrder, OrderCommand, PlaceOrder, RejectOrder
from services.order.domain.order_facts import OrderLine
from services.order.masters_api import ID, Body, Currency, Price, TaxRate, TermsDays, master_routes
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To
from shared.http import PROBLEMS, Cursor, ExpectedVersion, Limit, Page, Trace, etag, invalid
from shared.http.described import described, text, within
from shared.http.parameters import PAGE_SIZE

ORDER_IDS = UUID("6f0d3b52-6c1e-5a0e-9f43-0d3b7f2f5a11")
"""Namespace of the order ids that are made from idempotency keys. Never to be changed: a repeat must meet its order."""

OrderId = Annotated[str, ID, Path(description="The sender's id of the order", examples=["O-1"])]
Reason = Annotated[str, text(1, REASON_LENGTH_MAX)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="Makes repeats harmless when the body has no `order_id`"),
]


class LineBody(Body):
    """One line as asked for."""

    sku: Annotated[str, ID] = Field(examples=["SKU-1"])
    quantity: Annotated[StrictInt, within(1, QUANTITY_MAX)] = Field(description="1 to 1,000,000", examples=[2])
    unit_price_minor: Price = Field(description="Net of tax, in minor units", examples=[1_250])
    tax_rate_bp: TaxRate = Field(default=0, description="Basis points: 2000 = 20 %", examples=[2_000])


class OrderBody(Body):
    """An order to be placed: the same as the message `o2c.inbound.Order.v1`."""

    order_id: Annotated[str, ID] | None = Field(
        default=None, description="Yours; makes repeats harmless", examples=["O-1"]
    )
    customer_id: Annotated[str, ID] = Field(examples=["C-42"])
    currency: Currency = Field(description="ISO 4217", examples=["EUR"])
    lines: Annotated[list[LineBody], described(minItems=1, maxItems=LINES_MAX)] = Field(description="1 to 500 lines")
    placed_at: datetime | None = Field(
        default=None, description="With a zone; the instant of arrival without it", examples=["2026-03-31T12:00:00Z"]
    )
    payment_terms_days: TermsDays = Field(default=30, description="0 to 365", examples=[30])
    prepaid: StrictBool = False
    ship_complete: StrictBool = Field(default=False, description="Ship nothing before everything can be shipped")
    invoice_on: Annotated[str, described(enum=list(INVOICE_ON))] = Field(
        default="shipment", description="`shipment` or `confirmation`", examples=["shipment"]
    )


class CancelBody(Body):
    """Why the order is called off; `reason` is for people."""

    reason: Reason = Field(examples=["Ordered twice"])


class RejectBody(Body):
    """Why the held order is refused for good; `reasons` are for people."""

    reasons: list[Reason] = Field(min_length=1, max_length=20, examples=[["No longer a customer of ours"]])


class LineView(BaseModel):
    """One line, and how much of it left the house."""

    line_no: int = Field(examples=[1])
    sku: str = Field(examples=["SKU-1"])
    quantity: int = Field(examples=[2])
    unit_price_minor: int = Field(examples=[1_250])
    tax_rate_bp: int = Field(examples=[2_000])
    shipped: int = Field(examples=[0])


class ShipmentView(BaseModel):
    """A shipment of the order."""

    shipment_id: str
    shipped_at: datetime


class InvoiceView(BaseModel):
    """An invoice of the order. `issued` is false while only its payment was heard of."""

    invoice_id: str
    number: str = Field(examples=["INV-2026-000001"])
    total_minor: int
    issued: bool
    paid: bool


_SETTLED = Field(description="Total of the invoices on which nothing is due any more: paid, credited or written off")
_PAID = Field(description="The same as `settled_minor`; not the money received", deprecated=True)


class OrderSummary(BaseModel):
    """An order in a list. Amounts in minor units of `currency`, tax included."""

    order_id: str = Field(examples=["O-1"])
    customer_id: str = Field(examples=["C-42"])
    status: Status = Field(examples=["confirmed"])
    reason: str = Field(description="Why it is held, cancelling, cancelled or rejected")
    currency: str = Field(examples=["EUR"])
    total_minor: int = Field(examples=[3_000])
    line_count: int
    prepaid: bool
    placed_at: datetime
    confirmed_at: datetime | None
    allocation: str = Field(description="`reserved`, `partial`, `backordered`, or empty while nothing was heard")
    shipments: int
    shipped_fully: bool
    invoices_open: int
    invoiced_fully: bool
    invoiced_minor: int
    settled_minor: int = _SETTLED
    paid_minor: int = _PAID
    credited_minor: int


class OrderView(BaseModel):
    """An order with all that happened to it. Amounts in minor units of `currency`."""

    order_id: str = Field(examples=["O-1"])
    customer_id: str = Field(examples=["C-42"])
    status: Status = Field(examples=["placed"])
    reason: str = Field(description="Why it is held, cancelling, cancelled or rejected")
    currency: str = Field(examples=["EUR"])
    lines: list[LineView]
    net_minor: int = Field(examples=[2_500])
    tax_minor: int = Field(examples=[500])
    total_minor: int = Field(examples=[3_000])
    placed_at: datetime
    confirmed_at: datetime | None
    payment_terms_days: int
    prepaid: bool
    ship_complete: bool
    invoice_on: str
    allocation: str
    shipments: list[ShipmentView]
    shipped_fully: bool
    invoices: list[InvoiceView]
    invoiced_fully: bool
    credit_notes: list[str] = Field(description="Their numbers", examples=[["CRN-2026-000001"]])
    invoiced_minor: int
    settled_minor: int = _SETTLED
    paid_minor: int = _PAID
    credited_minor: int


def routes(commands: Commands) -> APIRouter:
    """The routes of the order service."""
    router = APIRouter(responses=PROBLEMS)
    _placing_routes(router, commands)
    _reading_routes(router, commands)
    _ending_routes(router, commands)
    master_routes(router, commands)
    return router


def _placing_routes(router: APIRouter, commands: Commands) -> None:
    @router.post(
        "/orders",
        status_code=status.HTTP_201_CREATED,
        responses={status.HTTP_200_OK: {"model": OrderView, "description": "A repeat: the order as it is now"}},
        tags=["orders"],
    )
    async def place_order(
        body: OrderBody, response: Response, trace: Trace, idempotency_key: IdempotencyKey = None
    ) -> OrderView:
        """Place an order. The same content again is harmless; the same id with other content is a conflict (409)."""
        command = placing(body, _order_id(body, idempotency_key), datetime.now(UTC))
        invalid(order_problems(command))
        outcome = await commands.execute(To(order, command.order_id, command), corr=command.order_id, trace=trace)
        if not outcome.facts:
            response.status_code = status.HTTP_200_OK
        response.headers["Location"] = f"/orders/{command.order_id}"
        response.headers["ETag"] = etag(outcome.version)
        return order_view(outcome.state)


def _reading_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/orders/{order_id}", tags=["orders"])
    async def get_order(order_id: OrderId, response: Response) -> OrderView:
        """An order as it is at this moment; the ETag is its version."""
        invalid(list(id_problems("order_id", order_id)))
        state, version = await commands.state(order, order_id)
        if state.placed is None:
            raise NotFoundError(f"there is no order {order_id}")
        response.headers["ETag"] = etag(version)
        return order_view(state)

    @router.get("/orders", response_model=Page[OrderSummary], tags=["orders"])
    async def list_orders(
        cursor: Cursor = None,
        limit: Limit = PAGE_SIZE,
        status: Annotated[Status | None, Query(description="Only orders of this status")] = None,
        customer_id: Annotated[
            Annotated[str, ID] | None, Query(max_length=64, description="Only orders of this customer")
        ] = None,
    ) -> dict[str, Any]:
        """Orders, youngest first."""
        if customer_id is not None:
            invalid(list(id_problems("customer_id", customer_id)))
        return await queries.orders(commands, cursor, limit, status, customer_id)


def _ending_routes(router: APIRouter, commands: Commands) -> None:
    async def execute(
        response: Response, order_id: str, command: OrderCommand, expected: int | None, trace: str
    ) -> OrderView:
        outcome = await commands.execute(To(order, order_id, command, expected), corr=order_id, trace=trace)
        response.headers["ETag"] = etag(outcome.version)
        return order_view(outcome.state)

    @router.post("/orders/{order_id}/cancel", tags=["orders"])
    async def cancel_order(
        order_id: OrderId, body: CancelBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> OrderView:
        """Call an order off: `cancelled` at once, or `cancelling` until fulfillment answers if it is confirmed."""
        invalid([*id_problems("order_id", order_id), *text_problems("reason", body.reason, REASON_LENGTH_MAX)])
        return await execute(response, order_id, CancelOrder(order_id, body.reason), expected, trace)

    @router.post("/orders/{order_id}/reject", tags=["orders"])
    async def reject_order(
        order_id: OrderId, body: RejectBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> OrderView:
        """Refuse a held order for good."""
        invalid(
            [
                *id_problems("order_id", order_id),
                *(p for i, r in enumerate(body.reasons) for p in text_problems(f"reasons[{i}]", r, REASON_LENGTH_MAX)),
            ]
        )
        return await execute(response, order_id, RejectOrder(order_id, tuple(body.reasons)), expected, trace)


def _order_id(body: OrderBody, idempotency_key: str | None) -> str:
    if body.order_id is not None:
        return body.order_id
    return str(uuid4() if idempotency_key is None else uuid5(ORDER_IDS, idempotency_key))


def placing(body: OrderBody, order_id: str, now: datetime) -> PlaceOrder:
    """The command that a body asks for, not checked yet."""
    return PlaceOrder(
        order_id=order_id,
        customer_id=body.customer_id,
        currency=body.currency,
        lines=tuple(
            OrderLine(line_no, line.sku, line.quantity, line.unit_price_minor, line.tax_rate_bp)
            for line_no, line in enumerate(body.lines, 1)
        ),
        placed_at=now if body.placed_at is None else body.placed_at,
        payment_terms_days=body.payment_terms_days,
        prepaid=body.prepaid,
        ship_complete=body.ship_complete,
        invoice_on=body.invoice_on,
        placed_at_given=body.placed_at is not None,
    )


def order_view(state: Order) -> OrderView:
    """A placed order as callers see it."""
    placed = state.placed
    assert placed is not None, "only placed orders are shown"
    shipped = state.shipped
    return OrderView(
        order_id=placed.order_id,
        customer_id=placed.customer_id,
        status=state.status,
        reason=state.reason,
        currency=placed.currency,
        lines=[
            LineView(
                line_no=line.line_no,
                sku=line.sku,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
                tax_rate_bp=line.tax_rate_bp,
                shipped=shipped.get(line.line_no, 0),
            )
            for line in placed.lines
        ],
        net_minor=placed.net_minor,
        tax_minor=placed.tax_minor,
        total_minor=placed.total_minor,
        placed_at=placed.placed_at,
        confirmed_at=state.confirmed_at,
        payment_terms_days=placed.payment_terms_days,
        prepaid=placed.prepaid,
        ship_complete=placed.ship_complete,
        invoice_on=placed.invoice_on,
        allocation=state.allocation,
        shipments=[ShipmentView(shipment_id=key, shipped_at=at) for key, at in sorted(state.shipments.items())],
        shipped_fully=state.shipped_fully,
        invoices=[_invoice_view(key, invoice) for key, invoice in sorted(state.invoices.items())],
        invoiced_fully=state.invoiced_fully,
        credit_notes=sorted(state.credit_notes.values()),
        invoiced_minor=state.invoiced_minor,
        settled_minor=state.settled_minor,
        paid_minor=state.settled_minor,
        credited_minor=state.credited_minor,
    )


def _invoice_view(invoice_id: str, invoice: Invoice) -> InvoiceView:
    return InvoiceView(
        invoice_id=invoice_id,
        number=invoice.number,
        total_minor=invoice.total_minor,
        issued=invoice.issued,
        paid=invoice.paid,
    )
