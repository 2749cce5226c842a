"""Money that came in, registered once under its own id: repeats meet it here. Stream: payment-{payment_id}."""

from collections.abc import Sequence
from datetime import date

from services.receivables.domain.texts import ID_LENGTH_MAX, text_problems
from shared.errors import ConflictError, ContractError, Problem
from shared.eventsourced.decider import Decider
from shared.eventsourced.facts import Command, Fact, State, fact
from shared.money import AMOUNT_MINOR_MAX, is_currency

METHOD_LENGTH_MAX = 40
REFERENCE_LENGTH_MAX = 140  # What a SEPA or SWIFT remittance text can hold.
VALUE_ON_MIN = date(1990, 1, 1)
VALUE_ON_MAX = date(2100, 12, 31)


@fact("receivables.PaymentRegistered")
class PaymentRegistered(Fact, frozen=True, gc=False):
    """A payment became known under its id, with this content for ever. Amount in minor units of `currency`."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str
    order_id: str


class RegisterPayment(Command, frozen=True, gc=False):
    """Make a payment known. Its content is what the outside world said; see `checked_payment`."""

    payment_id: str
    customer_id: str
    amount_minor: int
    currency: str
    value_on: date
    method: str
    reference: str
    order_id: str


class Payment(State, frozen=True, gc=False):
    """The registered payment, None before."""

    registered: PaymentRegistered | None = None


def evolve(_: Payment, registered: PaymentRegistered) -> Payment:
    """The payment as registered."""
    return Payment(registered)


def decide(state: Payment, command: RegisterPayment) -> Sequence[PaymentRegistered]:
    """Register a new payment; the same content again is nothing new. ConflictError for other content."""
    asked = PaymentRegistered(
        command.payment_id,
        command.customer_id,
        command.amount_minor,
        command.currency,
        command.value_on,
        command.method,
        command.reference,
        command.order_id,
    )
    if state.registered is None:
        return (asked,)
    if state.registered == asked:
        return ()
    raise ConflictError(f"payment {command.payment_id} was registered with other content", code="payment_id_reused")


payment: Decider[Payment, RegisterPayment, PaymentRegistered] = Decider(
    name="payment", initial=Payment(), decide=decide, evolve=evolve, facts=(PaymentRegistered,)
)


def checked_payment(command: RegisterPayment) -> RegisterPayment:
    """The command if what the outside world said can be taken. Raises ContractError with every problem."""
    problems = [
        *text_problems("payment_id", command.payment_id, ID_LENGTH_MAX, required=True),
        *text_problems("customer_id", command.customer_id, ID_LENGTH_MAX, required=True),
        *text_problems("method", command.method, METHOD_LENGTH_MAX, required=True),
        *text_problems("reference", command.reference, REFERENCE_LENGTH_MAX),
        *text_problems("order_id", command.order_id, ID_LENGTH_MAX),
    ]
    if not 1 <= command.amount_minor <= AMOUNT_MINOR_MAX:
        problems.append(Problem("amount_minor", "out_of_range", f"must be from 1 to {AMOUNT_MINOR_MAX}"))
    if not is_currency(command.currency):
        problems.append(Problem("currency", "unknown_currency", "must be an ISO 4217 code that we take"))
    if not VALUE_ON_MIN <= command.value_on <= VALUE_ON_MAX:
        problems.append(Problem("value_on", "implausible", f"must be from {VALUE_ON_MIN} to {VALUE_ON_MAX}"))
    if problems:
        raise ContractError(problems)
    return command
