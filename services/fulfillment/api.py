"""HTTP for the warehouse: requests become commands, rows and states become answers."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.fulfillment import queries
from services.fulfillment.domain import checks
from services.fulfillment.domain.adjustment import adjustment
from services.fulfillment.domain.fulfillment import FulfillmentCommand, fulfillment
from services.fulfillment.domain.fulfillment_state import Fulfillment, LineQuantity, Return, Shipment, Status
from services.fulfillment.domain.receipt import receipt
from services.fulfillment.domain.stock import BackordersFilled, FillBackorders, stock
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands, Outcome
from shared.eventsourced.decider import To
from shared.http import PROBLEMS, Cursor, ExpectedVersion, Limit, Page, Trace, etag
from shared.http.described import described, text, within
from shared.http.parameters import PAGE_SIZE

_STORABLE = r"^[^\x00]*$"  # PostgreSQL has no text with NUL
Text = Annotated[str | None, Query(max_length=checks.TEXT_LENGTH_MAX, pattern=_STORABLE)]
Id = Annotated[str, Path(max_length=checks.TEXT_LENGTH_MAX, pattern=_STORABLE)]

_Id = Annotated[
    str, text(1, checks.TEXT_LENGTH_MAX, r"^[^\x00-\x20\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?$")
]
_Text = Annotated[str, text(0, checks.TEXT_LENGTH_MAX)]
_Reason = Annotated[str, text(0, checks.REASON_LENGTH_MAX)]
_Quantity = Annotated[int, within(1, checks.QUANTITY_MAX)]

# ---- Bodies


class Body(BaseModel):
    """What a caller sends; unknown fields are mistakes, numbers are numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NamedLineBody(Body):
    line_no: Annotated[int, within(1, checks.LINE_NO_MAX)] = Field(examples=[1])
    quantity: _Quantity = Field(examples=[2])


def _pairs(lines: list[NamedLineBody]) -> list[tuple[int, int]]:
    return [(line.line_no, line.quantity) for line in lines]


Instant = Annotated[datetime, Field(strict=False, examples=["2026-03-31T14:30:00Z"], description="With a time zone")]


class ReceiptBody(Body):
    receipt_id: _Id = Field(examples=["R-1001"], description="The warehouse's id; makes repeats harmless")
    sku: _Id = Field(examples=["85123A"])
    quantity: _Quantity = Field(examples=[100])


class AdjustmentBody(Body):
    adjustment_id: _Id = Field(examples=["A-7"], description="The caller's id; makes repeats harmless")
    quantity_delta: Annotated[
        int, described(minimum=-checks.QUANTITY_MAX, maximum=checks.QUANTITY_MAX, **{"not": {"const": 0}})
    ] = Field(examples=[-2], description="What the count found more or less than the books said")
    reason: _Reason = Field(default="", examples=["broken"])


class ShipmentBody(Body):
    shipment_id: _Id = Field(
        examples=["S-1"], description="The warehouse's id, unique within its order; makes repeats harmless"
    )
    order_id: _Id = Field(examples=["O-1"])
    shipped_at: Instant
    lines: Annotated[list[NamedLineBody], described(maxItems=checks.LINES_MAX)] = Field(
        default=[], description="Empty: everything that is reserved for the order"
    )
    carrier: _Text = Field(default="", examples=["DHL"])
    tracking: _Text = ""


class DeliveryBody(Body):
    order_id: _Id = Field(examples=["O-1"])
    delivered_at: Instant


class ReturnBody(Body):
    return_id: _Id = Field(examples=["RT-1"], description="The caller's id; makes repeats harmless")
    order_id: _Id = Field(examples=["O-1"])
    lines: Annotated[list[NamedLineBody], described(minItems=1, maxItems=checks.LINES_MAX)]
    reason: _Reason = Field(default="", examples=["too small"])


class ReturnReceiptBody(Body):
    order_id: _Id = Field(examples=["O-1"])
    received_at: Instant
    restocked: bool = Field(description="Whether the goods can be sold again")
    lines: Annotated[list[NamedLineBody], described(maxItems=checks.LINES_MAX)] = Field(
        default=[], description="Empty: everything that was authorized"
    )


# ---- Views


class StockLevelView(BaseModel):
    sku: str
    on_hand: int
    reserved: int
    backordered: int


class BackorderView(BaseModel):
    sku: str
    order_id: str
    quantity: int
    queued_at: datetime


class LineView(BaseModel):
    line_no: int
    sku: str
    ordered: int
    reserved: int
    shipped: int
    returned: int = Field(description="What is authorized to come back or came")


class FulfillmentRowView(BaseModel):
    order_id: str
    customer_id: str
    status: Status
    ship_complete: bool
    backordered: int
    reserved: int
    shipped: int
    shipments_waiting: int = Field(description="Shipments heard before the order or its stock")
    lines: list[LineView]


class QuantityView(BaseModel):
    line_no: int
    sku: str
    quantity: int


class ShipmentView(BaseModel):
    shipment_id: str
    order_id: str
    status: Literal["waiting", "shipped", "rejected", "delivered"]
    lines: list[QuantityView]
    shipped_at: datetime
    carrier: str
    tracking: str
    delivered_at: datetime | None
    reason: str = Field(description="Why it was rejected, empty if it was not", examples=[""])


class RejectedShipmentView(BaseModel):
    order_id: str
    shipment_id: str
    reason: str = Field(examples=["order_cancelled"])
    noted_at: datetime | None = Field(description="Since when it had waited; not known of old ones until a rebuild")
    rejected_at: datetime


class ReturnView(BaseModel):
    return_id: str
    order_id: str
    authorized: list[QuantityView]
    reason: str
    received: list[QuantityView]
    received_at: datetime | None
    restocked: bool


class FulfillmentView(FulfillmentRowView):
    shipments: list[ShipmentView]
    returns: list[ReturnView]


class ReceiptView(BaseModel):
    receipt_id: str
    sku: str
    quantity: int


class AdjustmentView(BaseModel):
    adjustment_id: str
    sku: str
    quantity_delta: int
    reason: str


class FilledView(BaseModel):
    orders_filled: int
    quantity_filled: int


def _quantities(lines: tuple[LineQuantity, ...]) -> list[QuantityView]:
    return [QuantityView(line_no=line.line_no, sku=line.sku, quantity=line.quantity) for line in lines]


def _shipment_view(state: Fulfillment, shipment_id: str) -> ShipmentView:
    shipment: Shipment = state.shipments[shipment_id]
    return ShipmentView(
        shipment_id=shipment_id,
        order_id=state.order_id,
        status=shipment.status,
        lines=_quantities(shipment.lines),
        shipped_at=shipment.notice.shipped_at,
        carrier=shipment.notice.carrier,
        tracking=shipment.notice.tracking,
        delivered_at=shipment.delivered_at,
        reason=shipment.reason,
    )


def _return_view(state: Fulfillment, return_id: str) -> ReturnView:
    known: Return = state.returns[return_id]
    return ReturnView(
        return_id=return_id,
        order_id=state.order_id,
        authorized=_quantities(known.authorized),
        reason=known.reason,
        received=_quantities(known.received),
        received_at=known.received_at,
        restocked=known.restocked,
    )


def _fulfillment_view(order_id: str, state: Fulfillment) -> FulfillmentView:
    return FulfillmentView(
        order_id=order_id,
        customer_id=state.customer_id,
        status=state.status,
        ship_complete=state.ship_complete,
        backordered=state.unreserved,
        reserved=state.reserved,
        shipped=state.shipped,
        shipments_waiting=len(state.waiting),
        lines=[
            LineView(
                line_no=line_no,
                sku=line.sku,
                ordered=line.ordered,
                reserved=line.reserved,
                shipped=line.shipped,
                returned=line.returned,
            )
            for line_no, line in sorted(state.lines.items())
        ],
        shipments=[_shipment_view(state, shipment_id) for shipment_id in sorted(state.shipments)],
        returns=[_return_view(state, return_id) for return_id in sorted(state.returns)],
    )


def _created_or_repeated(response: Response, outcome: Outcome) -> None:
    response.status_code = 201 if outcome.facts else 200


# ---- Routes


def routes(commands: Commands) -> APIRouter:
    """Everything the warehouse and the order desk can ask and tell."""
    router = APIRouter(responses=PROBLEMS)
    _stock_routes(router, commands)
    _order_routes(router, commands)
    _shipment_routes(router, commands)
    _return_routes(router, commands)
    return router


def _stock_routes(router: APIRouter, commands: Commands) -> None:
    @router.post("/receipts", status_code=201, responses={200: {"model": ReceiptView, "description": "A repeat"}})
    async def receive_goods(body: ReceiptBody, response: Response, trace: Trace) -> ReceiptView:
        """Goods came in: stock rises and waiting orders are filled, oldest first."""
        command = checks.receipt_command(body.receipt_id, body.sku, body.quantity)
        outcome = await commands.execute(To(receipt, command.receipt_id, command), trace=trace)
        _created_or_repeated(response, outcome)
        return ReceiptView(receipt_id=command.receipt_id, sku=outcome.state.sku, quantity=outcome.state.quantity)

    @router.post(
        "/stock/{sku}/adjust", status_code=201, responses={200: {"model": AdjustmentView, "description": "A repeat"}}
    )
    async def adjust_stock(sku: Id, body: AdjustmentBody, response: Response, trace: Trace) -> AdjustmentView:
        """A count found more or less. Below what is reserved, the youngest allocations become backorders."""
        command = checks.adjustment_command(body.adjustment_id, sku, body.quantity_delta, body.reason)
        outcome = await commands.execute(To(adjustment, command.adjustment_id, command), trace=trace)
        _created_or_repeated(response, outcome)
        return AdjustmentView(
            adjustment_id=command.adjustment_id, sku=sku, quantity_delta=command.quantity_delta, reason=command.reason
        )

    @router.post("/stock/{sku}/fill-backorders")
    async def fill_backorders(sku: Id, trace: Trace) -> FilledView:
        """Go on where a receipt for very many waiting orders stopped; harmless at any time."""
        outcome = await commands.execute(To(stock, sku, FillBackorders(sku)), trace=trace)
        fills = [f for r in outcome.facts if isinstance(r.fact, BackordersFilled) for f in r.fact.fills]
        return FilledView(orders_filled=len(fills), quantity_filled=sum([fill.quantity for fill in fills]))

    @router.get("/stock")
    async def list_stock(cursor: Cursor = None, limit: Limit = PAGE_SIZE) -> Page[StockLevelView]:
        """Stock levels by product."""
        return Page[StockLevelView].model_validate(await queries.stock_levels(commands, cursor, limit))

    @router.get("/stock/{sku}")
    async def get_stock(sku: Id) -> StockLevelView:
        """The stock level of one product."""
        row = await queries.stock_level(commands, sku)
        if row is None:
            raise NotFoundError(f"nothing was ever in stock or ordered of {sku}")
        return StockLevelView.model_validate(dict(row))


def _order_routes(router: APIRouter, commands: Commands) -> None:
    @router.get("/fulfillments")
    async def list_fulfillments(
        status: Status | None = None, customer_id: Text = None, cursor: Cursor = None, limit: Limit = PAGE_SIZE
    ) -> Page[FulfillmentRowView]:
        """Orders in the warehouse, by order id."""
        page = await queries.fulfillments(commands, status, customer_id, cursor, limit)
        return Page[FulfillmentRowView].model_validate(page)

    @router.get("/fulfillments/{order_id}")
    async def get_fulfillment(order_id: Id, response: Response) -> FulfillmentView:
        """One order in the warehouse with its shipments and returns; its ETag is for If-Match."""
        state, version = await commands.state(fulfillment, order_id)
        if not version:
            raise NotFoundError(f"order {order_id} is not known to the warehouse")
        response.headers["ETag"] = etag(version)
        return _fulfillment_view(order_id, state)

    @router.get("/backorders")
    async def list_backorders(
        sku: Text = None, order_id: Text = None, cursor: Cursor = None, limit: Limit = PAGE_SIZE
    ) -> Page[BackorderView]:
        """What waits for stock, by product and order."""
        page = await queries.backorders(commands, sku, order_id, cursor, limit)
        return Page[BackorderView].model_validate(page)


def _shipment_routes(router: APIRouter, commands: Commands) -> None:
    @router.post("/shipments", status_code=201, responses={200: {"model": ShipmentView, "description": "A repeat"}})
    async def record_shipment(
        body: ShipmentBody, response: Response, trace: Trace, expected: ExpectedVersion
    ) -> ShipmentView:
        """Goods left the house. `waiting` in the answer: the order or its stock is not known yet."""
        command = checks.shipment_command(
            body.shipment_id, body.order_id, _pairs(body.lines), body.shipped_at, body.carrier, body.tracking
        )
        state = await _execute(commands, command.order_id, command, expected, trace, response)
        return _shipment_view(state, command.shipment_id)

    @router.get("/rejected-shipments")
    async def list_rejected_shipments(
        order_id: Text = None, cursor: Cursor = None, limit: Limit = PAGE_SIZE
    ) -> Page[RejectedShipmentView]:
        """Shipments that waited and can never be booked: their goods are gone and still counted as on hand."""
        page = await queries.rejected_shipments(commands, order_id, cursor, limit)
        return Page[RejectedShipmentView].model_validate(page)

    @router.post(
        "/shipments/{shipment_id}/delivered",
        status_code=201,
        responses={200: {"model": ShipmentView, "description": "A repeat"}},
    )
    async def confirm_delivery(
        shipment_id: Id, body: DeliveryBody, response: Response, trace: Trace, expected: ExpectedVersion
    ) -> ShipmentView:
        """The carrier says that the shipment arrived."""
        command = checks.delivery_command(shipment_id, body.order_id, body.delivered_at)
        state = await _execute(commands, command.order_id, command, expected, trace, response)
        return _shipment_view(state, shipment_id)


def _return_routes(router: APIRouter, commands: Commands) -> None:
    @router.post("/returns", status_code=201, responses={200: {"model": ReturnView, "description": "A repeat"}})
    async def authorize_return(
        body: ReturnBody, response: Response, trace: Trace, expected: ExpectedVersion
    ) -> ReturnView:
        """The customer may send goods back: at most what was shipped and is not yet returned."""
        command = checks.return_command(body.return_id, body.order_id, _pairs(body.lines), body.reason)
        state = await _execute(commands, command.order_id, command, expected, trace, response)
        return _return_view(state, command.return_id)

    @router.post(
        "/returns/{return_id}/received",
        status_code=201,
        responses={200: {"model": ReturnView, "description": "A repeat"}},
    )
    async def receive_return(
        return_id: Id, body: ReturnReceiptBody, response: Response, trace: Trace, expected: ExpectedVersion
    ) -> ReturnView:
        """Returned goods arrived; billing credits them, and stock takes them back if they can be sold again."""
        command = checks.return_receipt_command(
            return_id, body.order_id, _pairs(body.lines), body.received_at, body.restocked
        )
        state = await _execute(commands, command.order_id, command, expected, trace, response)
        return _return_view(state, return_id)


async def _execute(
    commands: Commands,
    order_id: str,
    command: FulfillmentCommand,
    expected: int | None,
    trace: str,
    response: Response,
) -> Fulfillment:
    """Decide a command of one order; the answer is 201 if it was new and 200 if it was a repeat."""
    outcome = await commands.execute(To(fulfillment, order_id, command, expected), trace=trace)
    _created_or_repeated(response, outcome)
    state: Fulfillment = outcome.state
    return state
