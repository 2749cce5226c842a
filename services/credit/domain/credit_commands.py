"""What can be asked of a customer's credit account, by messages and by people."""

from shared.eventsourced.facts import Command


class OpenCreditAccount(Command, frozen=True, gc=False):
    """Let the customer owe us up to the limit, in minor units of `currency`."""

    customer_id: str
    limit_minor: int
    currency: str


class SetCreditLimit(Command, frozen=True, gc=False):
    """Change the limit, in minor units of the account's currency; NotFoundError without an account."""

    customer_id: str
    limit_minor: int


class HoldAccount(Command, frozen=True, gc=False):
    """Approve nothing for this customer until released; NotFoundError without an account."""

    customer_id: str
    reason: str


class ReleaseAccount(Command, frozen=True, gc=False):
    """Check orders against the limit again; NotFoundError without an account."""

    customer_id: str


class RequestCredit(Command, frozen=True, gc=False):
    """Decide whether an order may go on. `referral_tolerance_bp`: the excess, in basis points of the limit, up to
    which a person decides.
    """

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    prepaid: bool
    referral_tolerance_bp: int


class ApproveCredit(Command, frozen=True, gc=False):
    """A person lets a waiting order go on, whatever the limit. Refused while the account is held, missing, or kept in
    another currency, and for orders that do not wait.
    """

    order_id: str
    customer_id: str
    by: str
    note: str = ""


class DeclineCredit(Command, frozen=True, gc=False):
    """A person declines a waiting order: it is not tried again by itself. Refused for orders that do not wait."""

    order_id: str
    customer_id: str
    by: str
    note: str = ""


class ReleaseCredit(Command, frozen=True, gc=False):
    """The order ended: free what it reserves, or forget that it waits."""

    order_id: str
    customer_id: str


class NoteInvoice(Command, frozen=True, gc=False):
    """Part of an order (`final`: the last part) was invoiced, tax included."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    final: bool


class NoteCreditNote(Command, frozen=True, gc=False):
    """A credit note was issued, tax included."""

    customer_id: str
    amount_minor: int
    currency: str


class NotePayment(Command, frozen=True, gc=False):
    """Money came in."""

    customer_id: str
    amount_minor: int
    currency: str


class NoteWriteOff(Command, frozen=True, gc=False):
    """A rest was written off, or, with an amount below 0, written off no more."""

    customer_id: str
    amount_minor: int
    currency: str


CreditCommand = (
    RequestCredit
    | NoteInvoice
    | NotePayment
    | NoteCreditNote
    | NoteWriteOff
    | ReleaseCredit
    | OpenCreditAccount
    | SetCreditLimit
    | HoldAccount
    | ReleaseAccount
    | ApproveCredit
    | DeclineCredit
)
