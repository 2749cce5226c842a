"""What happens to a customer's credit: the facts of the stream `credit-account-{customer_id}`."""

from shared.eventsourced.facts import Fact, fact

POLICY = "policy"
"""`approved_by` and `declined_by` of decisions that nobody took in person."""


@fact("credit.CreditAccountOpened")
class CreditAccountOpened(Fact, frozen=True, gc=False):
    """The customer may owe us up to the limit, in minor units of `currency`."""

    customer_id: str
    limit_minor: int
    currency: str


@fact("credit.CreditLimitSet")
class CreditLimitSet(Fact, frozen=True, gc=False):
    """The limit from now on, in minor units of the account's currency."""

    customer_id: str
    limit_minor: int
    currency: str


@fact("credit.CreditApproved")
class CreditApproved(Fact, frozen=True, gc=False):
    """The order may go on, and its amount is reserved until it is invoiced.

    `waited`: whether it had been declined or referred before. `note`: what the person who approved gave as reason.
    """

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    approved_by: str = POLICY
    waited: bool = False
    note: str = ""


@fact("credit.CreditDeclined")
class CreditDeclined(Fact, frozen=True, gc=False):
    """The order does not fit. It waits and is tried again, unless a person declined it or its currency is another.

    `available_minor`: limit − exposure at that instant, below 0 when the limit was lowered; 0 without an account.
    """

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    available_minor: int
    prepaid: bool = False
    declined_by: str = POLICY
    note: str = ""


@fact("credit.CreditReferred")
class CreditReferred(Fact, frozen=True, gc=False):
    """The order exceeds the limit by `excess_minor`, little enough for a person to decide; it waits meanwhile."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    excess_minor: int


@fact("credit.CreditReleased")
class CreditReleased(Fact, frozen=True, gc=False):
    """What an approved order still reserved is free again because the order ended."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str


@fact("credit.CreditRequestWithdrawn")
class CreditRequestWithdrawn(Fact, frozen=True, gc=False):
    """A waiting order ended; nobody needs to decide on it any more."""

    order_id: str


@fact("credit.InvoiceNoted")
class InvoiceNoted(Fact, frozen=True, gc=False):
    """An amount moved from the order's reservation to what is invoiced; `final` drops the rest of the reservation."""

    order_id: str
    amount_minor: int
    currency: str
    final: bool


@fact("credit.CreditNoteNoted")
class CreditNoteNoted(Fact, frozen=True, gc=False):
    """The customer owes this much less because invoiced goods were taken back."""

    amount_minor: int
    currency: str


@fact("credit.PaymentNoted")
class PaymentNoted(Fact, frozen=True, gc=False):
    """Money came in, applied to invoices or not."""

    amount_minor: int
    currency: str


@fact("credit.WriteOffNoted")
class WriteOffNoted(Fact, frozen=True, gc=False):
    """A rest that is not collected is not owed any more. An amount below 0: it was reversed, and is owed again."""

    amount_minor: int
    currency: str


@fact("credit.AccountHeld")
class AccountHeld(Fact, frozen=True, gc=False):
    """No order of this customer is approved until the account is released."""

    customer_id: str
    reason: str


@fact("credit.AccountReleased")
class AccountReleased(Fact, frozen=True, gc=False):
    """Orders of this customer are checked against the limit again."""

    customer_id: str


CreditFact = (
    CreditAccountOpened
    | CreditLimitSet
    | CreditApproved
    | CreditDeclined
    | CreditReferred
    | CreditReleased
    | CreditRequestWithdrawn
    | InvoiceNoted
    | CreditNoteNoted
    | PaymentNoted
    | WriteOffNoted
    | AccountHeld
    | AccountReleased
)
