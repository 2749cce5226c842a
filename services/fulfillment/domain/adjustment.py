"""A person's correction of a stock count, registered once under its own id. Stream: adjustment-{adjustment_id}."""

from collections.abc import Sequence

from shared.errors import ConflictError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact


@fact("fulfillment.AdjustmentRegistered")
class AdjustmentRegistered(Fact, frozen=True, gc=False):
    """This adjustment is known from now on; its stock is adjusted in the same transaction, or neither happens."""

    adjustment_id: str
    sku: str
    quantity_delta: int
    reason: str


class RegisterAdjustment(Command, frozen=True, gc=False):
    """Correct a count, however often it is asked for. `quantity_delta` is what the count found more or less."""

    adjustment_id: str
    sku: str
    quantity_delta: int
    reason: str


class Adjustment(State, frozen=True, gc=False):
    """What was adjusted under this id; nothing yet while `quantity_delta` is 0."""

    sku: str = ""
    quantity_delta: int = 0
    reason: str = ""


def evolve(_: Adjustment, happened: AdjustmentRegistered) -> Adjustment:
    return Adjustment(happened.sku, happened.quantity_delta, happened.reason)


def decide(state: Adjustment, command: RegisterAdjustment) -> Sequence[AdjustmentRegistered]:
    if state == Adjustment():
        return [
            AdjustmentRegistered(command.adjustment_id, command.sku, command.quantity_delta, command.reason),
        ]
    if state == Adjustment(command.sku, command.quantity_delta, command.reason):
        return []
    raise ConflictError(f"adjustment {command.adjustment_id} was registered with other content")


adjustment: Decider[Adjustment, RegisterAdjustment, AdjustmentRegistered] = Decider(
    name="adjustment", initial=Adjustment(), decide=decide, evolve=evolve, facts=(AdjustmentRegistered,)
)
