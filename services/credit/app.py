"""The credit service, wired."""

from pathlib import Path

from services.credit.api import routes
from services.credit.domain.credit_account import credit_account
from services.credit.gauges import GAUGES
from services.credit.policies import CreditPolicy, hears
from services.credit.projections import PROJECTIONS
from services.credit.publishing import SAYS
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(settings: Settings) -> Service:
    """Credit under these settings."""
    policy = CreditPolicy(settings.credit_limit_default_minor, settings.credit_referral_tolerance_bp)
    return Service(
        name="credit",
        migrations=Path(__file__).parent / "migrations",
        routes=routes,
        deciders=(credit_account,),
        hears=hears(policy),
        says=SAYS,
        projections=PROJECTIONS,
        gauges=GAUGES,
    )
