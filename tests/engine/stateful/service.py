"""The service that is tried: heaps that forgive no repeat, jars that do, one tally of all coins, numbered receipts.

Of every order that it hears it also takes a note, and the notes add up: like analytics, from messages alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.contracts.inbound import Customer
from shared.contracts.orders import OrderPlaced
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import Column, MessageProjection, Row, StateProjection, Table
from shared.eventsourced.service import Service
from tests.engine.toy import (
    JARS,
    NUMBERED,
    PROJECTIONS,
    AddCoins,
    CoinsAdded,
    Jar,
    ReceiptWritten,
    WriteReceipt,
    decide,
    evolve,
    jar,
    size_of,
    tally,
    toy_service,
)

UNWRITABLE = 2**63
"""An amount that the read table refuses, so that a batch fails in the database."""

FREE = 0
"""The amount of an order that leads to a note and to no fact."""

NOTED = Table(
    "noted",
    (Column("customer_id", "text"),),
    (Column("messages", "bigint", "add"), Column("amount_minor", "bigint", "add")),
)

heap: Decider[Any, Any, Any] = Decider(
    "heap",
    Jar(),
    lambda state, command: decide(Jar(), command),  # an empty jar knows no repeats
    evolve,
    (CoinsAdded, ReceiptWritten),
    snapshots=True,
)
"""A jar that counts whatever it is told, however often."""

DECIDERS = {decider.name: decider for decider in (heap, jar, tally)}


def on_order_placed(message: OrderPlaced, heard: Heard) -> Sequence[To[Any]]:
    """Even amounts also want a receipt, from another stream, so that a message has several effects."""
    customer, amount = message.customer_id, message.total_minor
    if amount == FREE:
        return []
    receipt = [To(jar, customer, WriteReceipt(customer, message.order_id))] if amount % 2 == 0 else []
    return [*receipt, To(heap, customer, AddCoins(customer, message.order_id, amount))]


def note(message: OrderPlaced, heard: Heard) -> Iterable[Row]:
    """How many orders a customer has placed, and about how much."""
    return [(message.customer_id, 1, message.total_minor)]


def on_customer(message: Customer, heard: Heard) -> Sequence[To[Any]]:
    """What comes from outside may come any number of times: `customer_id` and `name` name an effect."""
    return [To(jar, message.customer_id, AddCoins(message.customer_id, message.name, message.payment_terms_days))]


def tried_service(*, numbered: bool) -> Service:
    """`numbered`: with gapless receipt numbers."""
    return toy_service(
        deciders=tuple(DECIDERS.values()),
        hears={OrderPlaced: on_order_placed, Customer: on_customer},
        projections=(
            *PROJECTIONS,
            StateProjection(
                JARS, heap, lambda key, state: (f"heap {key}", state.total_minor, len(state.coins)), size_of
            ),
            MessageProjection(NOTED, {OrderPlaced: note}),
        ),
        series=NUMBERED if numbered else {},
    )
