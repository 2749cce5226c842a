"""Wires the billing service."""

from pathlib import Path
from typing import Any

from services.billing.api import routes
from services.billing.domain.billing import billing
from services.billing.domain.billing_state import CreditNoteIssued, Invoiced
from services.billing.policies import BillingPolicy, hears, react
from services.billing.projections import PROJECTIONS
from services.billing.publishing import SAYS
from shared.eventsourced.numbers import NumberSeries
from shared.eventsourced.service import Service
from shared.settings import Settings
from shared.values import evolved


def _series(fact: Any) -> str:
    return str(fact.series)


def _numbered(fact: Any, number: int) -> Any:
    return evolved(fact, number=f"{fact.series}-{number:06d}")


def service(settings: Settings) -> Service:
    """The billing service; its documents are dated in the issuer's zone of the settings."""
    numbers = NumberSeries(_series, _numbered)
    return Service(
        name="billing",
        migrations=Path(__file__).parent / "migrations",
        routes=routes,
        deciders=(billing,),
        hears=hears(BillingPolicy(settings.billing_time_zone)),
        reactions=react,
        says=SAYS,
        projections=PROJECTIONS,
        series={Invoiced: numbers, CreditNoteIssued: numbers},
    )
