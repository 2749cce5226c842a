"""How long messages and orders were on their way, by the instants that the messages themselves bear."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.contracts import billing, credit, fulfillment, orders, receivables
from shared.contracts.messages import contract_of
from shared.eventsourced.reading import Received
from shared.telemetry.histogram import WAITS, Histogram

ORDERS_MAX = 20_000
"""Orders under way that are remembered; with more, the oldest are forgotten and not timed."""

SAID_SECONDS_MAX = 900.0
"""A stage is timed when it is heard within this time of being said: a rebuild hears all that ever was once more."""

INBOUND = "inbound"
"""In place of the speaker, for messages from outside."""

_PLACED = contract_of(orders.OrderPlaced).name
_STAGES: Mapping[str, str] = {
    contract_of(message).name: stage
    for message, stage in {
        credit.CreditApproved: "credit approved",
        orders.OrderConfirmed: "confirmed",
        fulfillment.StockReserved: "reserved",
        fulfillment.Shipped: "shipped",
        billing.Invoiced: "invoiced",
        receivables.InvoicePaid: "paid",
        orders.OrderCompleted: "completed",
    }.items()
}
"""Type of a message → the stage to which it brings its order when it is said for the first time."""
_HELD = contract_of(orders.OrderHeld).name
_BY_PEOPLE = ("credit approved", "confirmed")
"""Stages of an order that is held wait for people, and say nothing of how fast the services are."""


class Delays:
    """From saying a message until it is committed here, by speaker."""

    def __init__(self) -> None:
        self.by_speaker: dict[str, Histogram] = {}

    def heard(self, received: Iterable[Received]) -> None:
        """A batch is committed. The messages of one batch of the speaker's share their instant: few to look at."""
        now = time.time()
        first: dict[tuple[str, bytes | None], Received] = {}
        counted = Counter[tuple[str, bytes | None]]()
        for each in received:
            # A sender outside may write any time: there the broker's clock counts.
            key = (each.speaker, each.attributes.time if each.speaker else None)
            counted[key] += 1
            first.setdefault(key, each)
        for (speaker, _), each in first.items():
            said = each.said_at.timestamp() if speaker else each.record.timestamp / 1000
            delays = self.by_speaker.setdefault(speaker or INBOUND, Histogram(WAITS))
            delays.add(max(now - said, 0.0), counted[speaker, _])


class Stages:
    """From placed to each stage, once per order; for a service that hears all stages, one customer at one replica."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now`: UTC, in seconds since 1970."""
        self._now = now
        self.seconds = {stage: Histogram(WAITS) for stage in _STAGES.values()}
        self._open: dict[bytes, tuple[float, set[str]]] = {}

    def heard(self, received: Sequence[Received]) -> None:
        """A batch is committed; what it says may be in any order."""
        since = self._now() - SAID_SECONDS_MAX
        for each in received:
            if each.type == _PLACED:
                self._placed(each)
            elif each.type == _HELD:
                _, seen = self._open.get(each.subject, (0.0, set[str]()))
                seen.update(_BY_PEOPLE)
        for each in received:
            stage = _STAGES.get(each.type)
            if stage is not None:
                self._came(each, stage, since)

    def _placed(self, message: Received) -> None:
        self._open.setdefault(message.subject, (message.said_at.timestamp(), set()))
        if len(self._open) > ORDERS_MAX:
            del self._open[next(iter(self._open))]

    def _came(self, message: Received, stage: str, since: float) -> None:
        order_id = message.subject
        placed_at, seen = self._open.get(order_id, (0.0, None))
        if seen is None or stage in seen:
            return
        seen.add(stage)
        said_at = message.said_at.timestamp()
        if said_at >= since:
            self.seconds[stage].add(max(said_at - placed_at, 0.0))
        if stage == "completed":
            del self._open[order_id]
