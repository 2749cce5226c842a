"""Orders for the bench: four lines each, many customers, many articles; the same for the same seed."""

from datetime import UTC, datetime
from random import Random

from shared.contracts.inbound import Customer, Order, RequestedLine
from shared.values import Value

LINES = 4
ORDERS_PER_CUSTOMER = 20
CUSTOMERS_MIN = 20
SKUS_MIN = 200
ORDERS_PER_SKU = 10
POPULATION = 40_000
"""Larger loads have the customers and articles of so many ordinary orders: a catalogue does not grow with its sales."""
TAX_RATES_BP = (2000, 500, 0)


class Mix(Value, frozen=True, gc=False):
    """Who orders what: every order is of one of `customer_ids`, with `lines` articles of `skus`.

    `always`: an article that is in every order; "" for none.
    """

    customer_ids: tuple[str, ...]
    skus: tuple[str, ...]
    lines: int = LINES
    always: str = ""


def ordinary(orders: int) -> Mix:
    """As many customers as these orders need, so that none of them reaches the default credit limit."""
    return Mix(
        tuple(f"BENCH-C{n}" for n in range(max(orders // ORDERS_PER_CUSTOMER, CUSTOMERS_MIN))),
        tuple(f"BENCH-S{n}" for n in range(max(orders // ORDERS_PER_SKU, SKUS_MIN))),
    )


def lasting() -> Mix:
    """For loads of minutes: 2,000 customers and 4,000 articles, whose histories grow with the system."""
    return ordinary(POPULATION)


def registered(mix: Mix) -> list[Customer]:
    """The customers of a mix, to be registered before they order."""
    return [Customer(customer_id, f"Customer {customer_id}", "GB", "GBP") for customer_id in mix.customer_ids]


def customers(orders: int) -> list[Customer]:
    """The customers of so many ordinary orders."""
    return registered(ordinary(orders))


def generate(number: int, *, seed: int, mix: Mix | None = None) -> list[Order]:
    """So many orders, placed now, of 5 to 100 GBP a line; ordinary ones without a mix."""
    random = Random(seed)
    mix = mix or ordinary(number)
    now = datetime.now(UTC)
    return [
        Order(f"BENCH-{seed}-{n}", random.choice(mix.customer_ids), "GBP", _lines(random, mix), now)
        for n in range(number)
    ]


def _lines(random: Random, mix: Mix) -> tuple[RequestedLine, ...]:
    skus = random.sample(mix.skus, mix.lines)
    if mix.always:
        skus[0] = mix.always
    return tuple(
        RequestedLine(sku, random.randint(1, 5), random.randint(500, 2_000), random.choice(TAX_RATES_BP))
        for sku in skus
    )
