"""What can be ordered, and its list price. Stream: `product-{sku}`."""

from collections.abc import Sequence
from typing import assert_never

from shared.errors import ConflictError, NotFoundError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact
from shared.values import evolved


@fact("order.ProductListed")
class ProductListed(Fact, frozen=True, gc=False):
    """A product may be ordered from now on; its first price is net of tax, in minor units."""

    sku: str
    description: str
    unit_price_minor: int
    currency: str
    tax_rate_bp: int


@fact("order.PriceChanged")
class PriceChanged(Fact, frozen=True, gc=False):
    """The list price from now on, net of tax, in minor units."""

    sku: str
    unit_price_minor: int
    currency: str


ProductFact = ProductListed | PriceChanged


class ListProduct(Command, frozen=True, gc=False):
    """List a product. It has passed `product_problems`; ConflictError if the SKU was listed with other content."""

    sku: str
    description: str
    unit_price_minor: int
    currency: str
    tax_rate_bp: int


class SetPrice(Command, frozen=True, gc=False):
    """Change the list price. It has passed `price_problems`; NotFoundError for a SKU that is not listed."""

    sku: str
    unit_price_minor: int
    currency: str


ProductCommand = ListProduct | SetPrice


class Product(State, frozen=True, gc=False):
    """`listed`: as it was listed first, to recognise a repeat; None until then. The price is the one of now."""

    listed: ProductListed | None = None
    unit_price_minor: int = 0
    currency: str = ""


def evolve(state: Product, fact: ProductFact) -> Product:
    """The product after this fact."""
    match fact:
        case ProductListed(unit_price_minor=price, currency=currency):
            return Product(fact, price, currency)
        case PriceChanged(unit_price_minor=price, currency=currency):
            return evolved(state, unit_price_minor=price, currency=currency)
        case _:
            assert_never(fact)


def decide(state: Product, command: ProductCommand) -> Sequence[ProductFact]:
    """What a command leads to; nothing for a repeat."""
    match command:
        case ListProduct():
            return _list(state, command)
        case SetPrice(sku=sku, unit_price_minor=price, currency=currency):
            if state.listed is None:
                raise NotFoundError(f"there is no product {sku}")
            unchanged = (price, currency) == (state.unit_price_minor, state.currency)
            return [] if unchanged else [PriceChanged(sku, price, currency)]
        case _:
            assert_never(command)


def _list(state: Product, command: ListProduct) -> Sequence[ProductFact]:
    listed = ProductListed(
        command.sku, command.description, command.unit_price_minor, command.currency, command.tax_rate_bp
    )
    if state.listed is None:
        return [listed]
    if state.listed != listed:
        raise ConflictError(f"product {command.sku} was listed with other content")
    return []


product: Decider[Product, ProductCommand, ProductFact] = Decider(
    name="product",
    initial=Product(),
    decide=decide,
    evolve=evolve,
    facts=(ProductListed, PriceChanged),
)
