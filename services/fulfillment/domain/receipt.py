"""Goods that the warehouse says came in, registered once under its own id. Stream: receipt-{receipt_id}."""

from collections.abc import Sequence

from shared.errors import ConflictError
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact


@fact("fulfillment.ReceiptRegistered")
class ReceiptRegistered(Fact, frozen=True, gc=False):
    """This receipt is known from now on; its stock receives it in the same transaction."""

    receipt_id: str
    sku: str
    quantity: int


class RegisterReceipt(Command, frozen=True, gc=False):
    """Take a receipt in, however often it is said."""

    receipt_id: str
    sku: str
    quantity: int


class Receipt(State, frozen=True, gc=False):
    """What was received under this id; nothing yet while `quantity` is 0."""

    sku: str = ""
    quantity: int = 0


def evolve(_: Receipt, happened: ReceiptRegistered) -> Receipt:
    return Receipt(happened.sku, happened.quantity)


def decide(state: Receipt, command: RegisterReceipt) -> Sequence[ReceiptRegistered]:
    if state == Receipt():
        return [ReceiptRegistered(command.receipt_id, command.sku, command.quantity)]
    if state == Receipt(command.sku, command.quantity):
        return []
    raise ConflictError(f"receipt {command.receipt_id} was registered with other content")


receipt: Decider[Receipt, RegisterReceipt, ReceiptRegistered] = Decider(
    name="receipt", initial=Receipt(), decide=decide, evolve=evolve, facts=(ReceiptRegistered,)
)
