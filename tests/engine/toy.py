"""A small service for testing the engine: jars of coins, numbered receipts, and a clerk who hears of orders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from shared.contracts.credit import AccountHeld, CreditApproved
from shared.contracts.orders import OrderPlaced
from shared.errors import DomainError
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Command, Fact, Recorded, State, fact
from shared.eventsourced.numbers import NumberSeries
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import Column, FactProjection, StateProjection, Table
from shared.eventsourced.publishing import same
from shared.eventsourced.service import Service
from shared.values import Map, evolved


@fact("toy.CoinsAdded")
class CoinsAdded(Fact, frozen=True, gc=False):
    customer_id: str
    order_id: str
    amount_minor: int
    currency: str = "GBP"
    approved_by: str = "policy"


@fact("toy.ReceiptWritten", version=2)
class ReceiptWritten(Fact, frozen=True, gc=False):
    customer_id: str
    reason: str
    number: str = ""

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> None:
        data["reason"] = data.pop("why")


@fact("toy.Counted")
class Counted(Fact, frozen=True, gc=False):
    customer_id: str


class AddCoins(Command, frozen=True, gc=False):
    customer_id: str
    order_id: str
    amount_minor: int


class WriteReceipt(Command, frozen=True, gc=False):
    customer_id: str
    reason: str


class Count(Command, frozen=True, gc=False):
    customer_id: str


class Jar(State, frozen=True, gc=False):
    total_minor: int = 0
    coins: Map[str, int] = Map()
    numbers: tuple[str, ...] = ()


def decide(state: Jar, command: Any) -> Sequence[Any]:
    match command:
        case AddCoins(customer_id, order_id, amount):
            if amount == 13:
                raise DomainError("thirteen is unlucky")
            if amount == 666:
                raise RuntimeError("the decider itself is broken")
            if order_id in state.coins:
                return []
            return [CoinsAdded(customer_id, order_id, amount)]
        case WriteReceipt(customer_id, reason):
            return [ReceiptWritten(customer_id, reason)]
    raise AssertionError(command)


def evolve(state: Jar, event: Any) -> Jar:
    match event:
        case CoinsAdded(_, order_id, amount):
            return evolved(state, total_minor=state.total_minor + amount, coins=state.coins.set(order_id, amount))
        case ReceiptWritten(number=number):
            return evolved(state, numbers=(*state.numbers, number))
    raise AssertionError(event)


jar = Decider("jar", Jar(), decide, evolve, (CoinsAdded, ReceiptWritten), snapshots=True)


class Tally(State, frozen=True, gc=False):
    count: int = 0


tally: Decider[Any, Any, Any] = Decider(
    "tally",
    Tally(),
    lambda state, command: [Counted(command.customer_id)],
    lambda state, event: Tally(state.count + 1),
    (Counted,),
)


def react(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
    """Every coin is counted on the one tally of all customers."""
    return [To(tally, "all", Count(f.fact.customer_id)) for f in facts if isinstance(f.fact, CoinsAdded)]


def on_order_placed(message: OrderPlaced, heard: Heard) -> Sequence[To[Any]]:
    return [To(jar, message.customer_id, AddCoins(message.customer_id, message.order_id, message.total_minor))]


JARS = Table(
    "jars",
    (Column("customer_id", "text"),),
    (
        Column("total_minor", "bigint"),
        Column("coins", "bigint"),
        Column("size", "text"),
        Column("size_at", "timestamptz"),
    ),
    dated=True,
)
COINS = Table(
    "coins",
    (Column("order_id", "text"),),
    (Column("customer_id", "text", "first"), Column("amount_minor", "bigint", "add")),
)


def size_of(state: Jar) -> str:
    """From three coins on a jar is large."""
    return "large" if len(state.coins) >= 3 else "small"


PROJECTIONS = (
    StateProjection(JARS, jar, lambda key, state: (key, state.total_minor, len(state.coins)), size_of),
    FactProjection(COINS, {CoinsAdded: lambda r: [(r.fact.order_id, r.fact.customer_id, r.fact.amount_minor)]}),
)

SAYS = {
    CoinsAdded: same(CreditApproved),
    ReceiptWritten: same(AccountHeld),
}


def toy_service(**changes: Any) -> Service:
    """The toy, hearing orders and speaking as the credit service."""
    values: dict[str, Any] = {
        "name": "credit",
        "migrations": Path(__file__).parent / "toy_migrations",
        "routes": lambda commands: APIRouter(),
        "deciders": (jar, tally),
        "hears": {OrderPlaced: on_order_placed},
        "reactions": react,
        "says": SAYS,
        "projections": PROJECTIONS,
        "series": {},
    }
    return Service(**{**values, **changes})


NUMBERED = {
    ReceiptWritten: NumberSeries(lambda f: "R-2026", lambda f, n: evolved(f, number=f"R-2026-{n:06d}")),
}
