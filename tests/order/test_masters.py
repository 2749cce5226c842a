"""Customers and products: registered once, changed when they change, nothing for a repeat."""

import pytest

from services.order.domain.customer import CustomerChanged, CustomerRegistered, PutCustomer, customer
from services.order.domain.product import ListProduct, PriceChanged, ProductListed, SetPrice, product
from shared.errors import ConflictError, NotFoundError
from shared.eventsourced.testing import Scenario
from shared.values import evolved

ADA = PutCustomer("C-1", "Ada", "GB", "EUR", 30)
ENGINE = ListProduct("SKU-1", "Difference engine", 1_250, "EUR", 2_000)
LISTED = ProductListed("SKU-1", "Difference engine", 1_250, "EUR", 2_000)

customers = Scenario(customer)
products = Scenario(product)


def test_a_customer_is_registered_once() -> None:
    customers.when(ADA).then(CustomerRegistered("C-1", "Ada", "GB", "EUR", 30))
    customers.when(ADA).when(ADA).then_nothing()


@pytest.mark.parametrize(
    "change", [{"name": "Bob"}, {"country": "DE"}, {"currency": "GBP"}, {"payment_terms_days": 0}], ids=str
)
def test_other_data_change_the_customer_and_their_repeat_does_not(change: dict[str, str]) -> None:
    other = evolved(ADA, **change)
    changed = customers.when(ADA).when(other)
    changed.then(CustomerChanged("C-1", other.name, other.country, other.currency, other.payment_terms_days))
    changed.when(other).then_nothing()


def test_a_product_is_listed_once_and_other_content_is_a_conflict() -> None:
    products.when(ENGINE).then(LISTED)
    products.given(LISTED).when(ENGINE).then_nothing()
    products.given(LISTED).when(evolved(ENGINE, unit_price_minor=1)).then_refuses(ConflictError)


def test_a_price_changes_only_when_it_is_another() -> None:
    listed = products.given(LISTED)
    listed.when(SetPrice("SKU-1", 1_250, "EUR")).then_nothing()
    changed = listed.when(SetPrice("SKU-1", 1_300, "EUR"))
    changed.then(PriceChanged("SKU-1", 1_300, "EUR"))
    changed.when(SetPrice("SKU-1", 1_250, "EUR")).then(PriceChanged("SKU-1", 1_250, "EUR"))
    listed.when(SetPrice("SKU-1", 1_250, "GBP")).then(PriceChanged("SKU-1", 1_250, "GBP"))


def test_a_repeat_of_the_listing_after_a_price_change_is_still_a_repeat() -> None:
    products.given(LISTED, PriceChanged("SKU-1", 5, "EUR")).when(ENGINE).then_nothing()


def test_the_price_of_an_unknown_product_cannot_be_set() -> None:
    products.when(SetPrice("SKU-9", 1, "EUR")).then_refuses(NotFoundError)
