"""What the credit service says on `o2c.credit.events`: who may owe us how much."""

from shared.contracts.messages import Message, Speaker

CREDIT = Speaker("credit", "o2c.credit.events")


@CREDIT.says(subject="customer_id")
class CreditAccountOpened(Message, frozen=True, gc=False):
    """A customer may owe us up to the limit, in minor units of `currency`."""

    customer_id: str
    limit_minor: int
    currency: str


@CREDIT.says(subject="customer_id")
class CreditLimitSet(Message, frozen=True, gc=False):
    """The limit from now on, in minor units of the account's currency."""

    customer_id: str
    limit_minor: int
    currency: str


@CREDIT.says()
class CreditApproved(Message, frozen=True, gc=False):
    """The order's amount is reserved within the limit. `approved_by`: `policy` or a person's name."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    approved_by: str = "policy"


@CREDIT.says()
class CreditDeclined(Message, frozen=True, gc=False):
    """The order does not fit; it is tried again by itself, oldest first, when money comes in.

    `reason`: `limit_exceeded`, `account_held`, `currency_mismatch`, `no_account` or `declined_by_person`.
    """

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    available_minor: int


@CREDIT.says()
class CreditReferred(Message, frozen=True, gc=False):
    """The order exceeds the limit by little: a person decides. `excess_minor`: by how much."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    reason: str
    excess_minor: int


@CREDIT.says()
class CreditReleased(Message, frozen=True, gc=False):
    """What an order reserved is free again because the order ended."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str


@CREDIT.says(subject="customer_id")
class AccountHeld(Message, frozen=True, gc=False):
    """No new orders of this customer are approved until released."""

    customer_id: str
    reason: str


@CREDIT.says(subject="customer_id")
class AccountReleased(Message, frozen=True, gc=False):
    """Orders of this customer are checked against the limit again."""

    customer_id: str
