"""Wiring of the receivables service, and nothing else."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from services.receivables.api import routes
from services.receivables.domain.account import account
from services.receivables.domain.payment import payment
from services.receivables.gauges import GAUGES
from services.receivables.policies import ReceivablesPolicy, hears, reactions
from services.receivables.projections import PROJECTIONS
from services.receivables.publishing import SAYS
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(settings: Settings) -> Service:
    """Receivables under these settings. People's decisions take effect on days of the issuer's zone."""
    policy = ReceivablesPolicy(settings.receivables_write_off_max_minor)
    zone = ZoneInfo(settings.billing_time_zone)
    return Service(
        name="receivables",
        migrations=Path(__file__).parent / "migrations",
        routes=lambda commands: routes(commands, lambda: datetime.now(zone).date()),
        deciders=(payment, account),
        hears=hears(policy),
        reactions=reactions(policy),
        says=SAYS,
        projections=PROJECTIONS,
        gauges=GAUGES,
    )
