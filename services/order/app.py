"""The order service, wired."""

from pathlib import Path

from services.order.api import routes
from services.order.domain.customer import customer
from services.order.domain.order import order
from services.order.domain.product import product
from services.order.gauges import GAUGES
from services.order.policies import HEARS
from services.order.projections import PROJECTIONS
from services.order.publishing import SAYS
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(_: Settings) -> Service:
    """Orders, their customers and their products. It has no settings of its own."""
    return Service(
        name="order",
        migrations=Path(__file__).parent / "migrations",
        routes=routes,
        deciders=(order, customer, product),
        hears=HEARS,
        says=SAYS,
        projections=PROJECTIONS,
        gauges=GAUGES,
    )
