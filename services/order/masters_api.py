"""HTTP routes of the masters behind orders: customers and products."""

from typing import Annotated

from fastapi import APIRouter, Path, Response, status
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from services.order.domain.checks import (
    NAME_LENGTH_MAX,
    TERMS_DAYS_MAX,
    customer_problems,
    id_problems,
    price_problems,
    product_problems,
)
from services.order.domain.customer import Customer, PutCustomer, customer
from services.order.domain.product import ListProduct, Product, ProductCommand, SetPrice, product
from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands, Outcome
from shared.eventsourced.decider import To
from shared.http import ExpectedVersion, Trace, etag, invalid
from shared.http.described import CURRENCY, PRICE, TAX_RATE, described, text, within

ID = described(minLength=1, maxLength=64, pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]+$")
"""What `id_problems` takes."""

CustomerId = Annotated[str, ID, Path(examples=["C-42"])]
Sku = Annotated[str, ID, Path(examples=["SKU-1"])]
Name = Annotated[str, text(1, NAME_LENGTH_MAX)]
Currency = Annotated[str, CURRENCY]
Price = Annotated[StrictInt, PRICE]
TaxRate = Annotated[StrictInt, TAX_RATE]
TermsDays = Annotated[StrictInt, within(0, TERMS_DAYS_MAX)]


class Body(BaseModel):
    """A request body; unknown fields are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid")


class CustomerBody(Body):
    """The master data of a customer as they are from now on."""

    name: Name = Field(examples=["Analytical Engines Ltd"])
    country: Annotated[str, described(pattern="^[A-Z]{2}$")] = Field(description="ISO 3166 alpha-2", examples=["GB"])
    currency: Currency = Field(description="ISO 4217", examples=["EUR"])
    payment_terms_days: TermsDays = Field(default=30, description="0 to 365", examples=[30])


class CustomerView(CustomerBody):
    """A customer."""

    customer_id: str = Field(examples=["C-42"])


class ProductBody(Body):
    """A product to be listed; the price in minor units, net of tax; the rate in basis points."""

    sku: Annotated[str, ID] = Field(examples=["SKU-1"])
    description: Name = Field(examples=["Difference engine, model 2"])
    unit_price_minor: Price = Field(examples=[1_250])
    currency: Currency = Field(description="ISO 4217", examples=["EUR"])
    tax_rate_bp: TaxRate = Field(default=0, examples=[2_000])


class ProductView(ProductBody):
    """A product with the list price of now."""


class PriceBody(Body):
    """The list price from now on, net of tax, in minor units."""

    unit_price_minor: Price = Field(examples=[1_300])
    currency: Currency = Field(description="ISO 4217", examples=["EUR"])


def master_routes(router: APIRouter, commands: Commands) -> None:
    """Add the routes of customers and products."""
    _customer_routes(router, commands)
    _product_routes(router, commands)


def _customer_routes(router: APIRouter, commands: Commands) -> None:
    @router.put(
        "/customers/{customer_id}",
        responses={status.HTTP_201_CREATED: {"model": CustomerView, "description": "The customer is new"}},
        tags=["customers"],
    )
    async def put_customer(
        customer_id: CustomerId, body: CustomerBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> CustomerView:
        """Register a customer, which opens a credit account, or change their master data."""
        command = PutCustomer(customer_id, body.name, body.country, body.currency, body.payment_terms_days)
        invalid(customer_problems(command))
        to = To(customer, customer_id, command, expected)
        outcome = await commands.execute(to, corr=customer_id, trace=trace)
        if outcome.facts and outcome.version == 1:
            response.status_code = status.HTTP_201_CREATED
        response.headers["ETag"] = etag(outcome.version)
        return _customer_view(outcome.state)

    @router.get("/customers/{customer_id}", tags=["customers"])
    async def get_customer(customer_id: CustomerId, response: Response) -> CustomerView:
        """A customer as they are at this moment."""
        invalid(list(id_problems("customer_id", customer_id)))
        state, version = await commands.state(customer, customer_id)
        if not version:
            raise NotFoundError(f"there is no customer {customer_id}")
        response.headers["ETag"] = etag(version)
        return _customer_view(state)


def _product_routes(router: APIRouter, commands: Commands) -> None:
    async def execute(sku: str, command: ProductCommand, expected: int | None, trace: str) -> Outcome:
        return await commands.execute(To(product, sku, command, expected), corr=sku, trace=trace)

    @router.post(
        "/products",
        status_code=status.HTTP_201_CREATED,
        responses={status.HTTP_200_OK: {"model": ProductView, "description": "A repeat: the product as it is now"}},
        tags=["products"],
    )
    async def list_product(body: ProductBody, response: Response, trace: Trace) -> ProductView:
        """List a product. The same content again is harmless; the same SKU with other content is a conflict (409)."""
        command = ListProduct(body.sku, body.description, body.unit_price_minor, body.currency, body.tax_rate_bp)
        invalid(product_problems(command))
        outcome = await execute(body.sku, command, None, trace)
        if not outcome.facts:
            response.status_code = status.HTTP_200_OK
        response.headers["Location"] = f"/products/{body.sku}"
        response.headers["ETag"] = etag(outcome.version)
        return _product_view(body.sku, outcome.state)

    @router.put("/products/{sku}/price", tags=["products"])
    async def set_price(
        sku: Sku, body: PriceBody, response: Response, expected: ExpectedVersion, trace: Trace
    ) -> ProductView:
        """Change the list price. Orders carry their own prices and do not change."""
        command = SetPrice(sku, body.unit_price_minor, body.currency)
        invalid(price_problems(command))
        outcome = await execute(sku, command, expected, trace)
        response.headers["ETag"] = etag(outcome.version)
        return _product_view(sku, outcome.state)

    @router.get("/products/{sku}", tags=["products"])
    async def get_product(sku: Sku, response: Response) -> ProductView:
        """A product as it is at this moment."""
        invalid(list(id_problems("sku", sku)))
        state, version = await commands.state(product, sku)
        if not version:
            raise NotFoundError(f"there is no product {sku}")
        response.headers["ETag"] = etag(version)
        return _product_view(sku, state)


def _customer_view(state: Customer) -> CustomerView:
    return CustomerView(
        customer_id=state.customer_id,
        name=state.name,
        country=state.country,
        currency=state.currency,
        payment_terms_days=state.payment_terms_days,
    )


def _product_view(sku: str, state: Product) -> ProductView:
    assert state.listed is not None, "only listed products are shown"
    return ProductView(
        sku=sku,
        description=state.listed.description,
        unit_price_minor=state.unit_price_minor,
        currency=state.currency,
        tax_rate_bp=state.listed.tax_rate_bp,
    )
