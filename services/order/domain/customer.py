"""Who orders: the master data of a customer. Stream: `customer-{customer_id}`."""

from collections.abc import Sequence
from typing import assert_never

from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact


@fact("order.CustomerRegistered")
class CustomerRegistered(Fact, frozen=True, gc=False):
    """A customer of ours. `country` as ISO 3166 alpha-2, `currency` in which they are charged."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int


@fact("order.CustomerChanged")
class CustomerChanged(Fact, frozen=True, gc=False):
    """The master data of a customer as they are now."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int


CustomerFact = CustomerRegistered | CustomerChanged


class PutCustomer(Command, frozen=True, gc=False):
    """Register a customer, or make their master data these. It has passed `customer_problems`."""

    customer_id: str
    name: str
    country: str
    currency: str
    payment_terms_days: int


class Customer(State, frozen=True, gc=False):
    """`customer_id` is empty until the customer is registered."""

    customer_id: str = ""
    name: str = ""
    country: str = ""
    currency: str = ""
    payment_terms_days: int = 0


def evolve(_: Customer, fact: CustomerFact) -> Customer:
    """The customer after this fact."""
    match fact:
        case CustomerRegistered() | CustomerChanged():
            return Customer(fact.customer_id, fact.name, fact.country, fact.currency, fact.payment_terms_days)
        case _:
            assert_never(fact)


def decide(state: Customer, command: PutCustomer) -> Sequence[CustomerFact]:
    """Nothing for data that are known already. Later data replace earlier ones, so it never refuses."""
    data = (command.customer_id, command.name, command.country, command.currency, command.payment_terms_days)
    if not state.customer_id:
        return [CustomerRegistered(*data)]
    return [] if Customer(*data) == state else [CustomerChanged(*data)]


customer: Decider[Customer, PutCustomer, CustomerFact] = Decider(
    name="customer",
    initial=Customer(),
    decide=decide,
    evolve=evolve,
    facts=(CustomerRegistered, CustomerChanged),
)
