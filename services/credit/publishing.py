"""Which facts about credit the world hears. What only counts towards exposure stays private."""

from services.credit.domain import credit_facts as own
from shared.contracts import credit as public
from shared.eventsourced.publishing import Publishing, same

SAYS: Publishing = {
    own.CreditAccountOpened: same(public.CreditAccountOpened),
    own.CreditLimitSet: same(public.CreditLimitSet),
    own.CreditApproved: same(public.CreditApproved),
    own.CreditDeclined: same(public.CreditDeclined),
    own.CreditReferred: same(public.CreditReferred),
    own.CreditReleased: same(public.CreditReleased),
    own.AccountHeld: same(public.AccountHeld),
    own.AccountReleased: same(public.AccountReleased),
}
