"""Wires the fulfillment service."""

from pathlib import Path

from services.fulfillment.api import routes
from services.fulfillment.domain.adjustment import adjustment
from services.fulfillment.domain.fulfillment import fulfillment
from services.fulfillment.domain.receipt import receipt
from services.fulfillment.domain.stock import stock
from services.fulfillment.due import due
from services.fulfillment.gauges import GAUGES
from services.fulfillment.policies import HEARS, react
from services.fulfillment.projections import PROJECTIONS
from services.fulfillment.publishing import SAYS
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(_: Settings) -> Service:
    """The fulfillment service; it has no policies that settings change."""
    return Service(
        name="fulfillment",
        migrations=Path(__file__).parent / "migrations",
        routes=routes,
        deciders=(fulfillment, stock, receipt, adjustment),
        hears=HEARS,
        reactions=react,
        says=SAYS,
        projections=PROJECTIONS,
        due=due,
        gauges=GAUGES,
        hears_alone=True,  # every order of every customer asks for the stock of the same articles
    )
