"""Wiring of the analytics service, and nothing else."""

from pathlib import Path

from services.analytics.api import routes
from services.analytics.policies import HEARS
from services.analytics.projections import PROJECTIONS
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(_: Settings) -> Service:
    """Analytics: it listens, keeps rows and answers."""
    return Service(
        name="analytics",
        migrations=Path(__file__).parent / "migrations",
        routes=routes,
        hears=HEARS,
        projections=PROJECTIONS,
    )
