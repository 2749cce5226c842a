"""Orders for the bench: four lines each, many customers, many articles; the same for the same seed."""

from datetime import UTC, datetime
from random import Random

from shared.contracts.inbound import Customer, Order, RequestedLine

LINES = 4
ORDERS_PER_CUSTOMER = 20
SKUS_MIN = 200
ORDERS_PER_SKU = 10
TAX_RATES_BP = (2000, 500, 0)


def customers(orders: int) -> list[Customer]:
    """As many customers as these orders need, so that none of them reaches the default credit limit."""
    return [
        Customer(f"BENCH-C{n}", f"Customer {n}", "GB", "GBP") for n in range(max(orders // ORDERS_PER_CUSTOMER, 20))
    ]


def generate(number: int, *, seed: int) -> list[Order]:
    """So many orders, placed now, of 20 to 400 GBP each."""
    random = Random(seed)
    customer_ids = [customer.customer_id for customer in customers(number)]
    skus = [f"BENCH-S{n}" for n in range(max(number // ORDERS_PER_SKU, SKUS_MIN))]
    now = datetime.now(UTC)
    return [
        Order(
            f"BENCH-{seed}-{n}",
            random.choice(customer_ids),
            "GBP",
            tuple(
                RequestedLine(sku, random.randint(1, 5), random.randint(500, 2_000), random.choice(TAX_RATES_BP))
                for sku in random.sample(skus, LINES)
            ),
            now,
        )
        for n in range(number)
    ]
