"""HTTP for billing clerks: the documents that were issued. Documents are only ever issued by what happens elsewhere."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from services.billing import queries
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands
from shared.http import PROBLEMS, Cursor, Limit, Page
from shared.http.parameters import PAGE_SIZE

_STORABLE = r"^[^\x00]*$"  # PostgreSQL has no text with NUL
_LENGTH_MAX = 200  # an order id and the count of its document
Text = Annotated[str | None, Query(max_length=_LENGTH_MAX, pattern=_STORABLE)]
Id = Annotated[str, Path(max_length=_LENGTH_MAX, pattern=_STORABLE)]


class DocumentLineView(BaseModel):
    line_no: int
    sku: str
    quantity: int
    unit_price_minor: int
    tax_rate_bp: int
    net_minor: int


class TaxView(BaseModel):
    tax_rate_bp: int
    base_minor: int
    tax_minor: int


class DocumentView(BaseModel):
    number: str = Field(examples=["INV-2026-000001"])
    series: str = Field(examples=["INV-2026"])
    order_id: str
    customer_id: str
    currency: str
    lines: list[DocumentLineView]
    taxes: list[TaxView]
    net_minor: int
    tax_minor: int
    total_minor: int
    issued_on: date


class InvoiceView(DocumentView):
    invoice_id: str
    due_on: date
    final: bool = Field(description="Nothing of the order is left to invoice")
    shipment_id: str
    credited_minor: int = Field(description="Sum of its credit notes, tax included")


class CreditNoteView(DocumentView):
    credit_note_id: str
    invoice_id: str
    invoice_number: str
    reason: str = Field(examples=["returned", "order_cancelled"])
    return_id: str


class NumberSeriesView(BaseModel):
    series: str
    last: int = Field(description="Numbers 1 to this were taken, without gaps")


def routes(commands: Commands) -> APIRouter:
    """Everything a billing clerk can ask."""
    router = APIRouter(responses=PROBLEMS)

    @router.get("/invoices")
    async def list_invoices(
        customer_id: Text = None,
        order_id: Text = None,
        number: Text = None,
        cursor: Cursor = None,
        limit: Limit = PAGE_SIZE,
    ) -> Page[InvoiceView]:
        """Invoices by number."""
        page = await queries.invoices(commands, customer_id, order_id, number, cursor, limit)
        return Page[InvoiceView].model_validate(page)

    @router.get("/invoices/{invoice_id}")
    async def get_invoice(invoice_id: Id) -> InvoiceView:
        """One invoice."""
        row = await queries.invoice(commands, invoice_id)
        if row is None:
            raise NotFoundError(f"there is no invoice {invoice_id}")
        return InvoiceView.model_validate(row)

    @router.get("/credit-notes")
    async def list_credit_notes(
        customer_id: Text = None, order_id: Text = None, cursor: Cursor = None, limit: Limit = PAGE_SIZE
    ) -> Page[CreditNoteView]:
        """Credit notes by number."""
        page = await queries.credit_notes(commands, customer_id, order_id, cursor, limit)
        return Page[CreditNoteView].model_validate(page)

    @router.get("/number-series")
    async def list_number_series() -> list[NumberSeriesView]:
        """Each series of document numbers and the last number taken in it."""
        return [NumberSeriesView.model_validate(dict(row)) for row in await queries.number_series(commands)]

    return router
