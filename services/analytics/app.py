"""Wiring of the analytics service, and nothing else."""

from pathlib import Path

from fastapi import APIRouter

from services.analytics.api import routes
from services.analytics.pages.peers import Peers
from services.analytics.pages.routes import Tower
from services.analytics.policies import HEARS
from services.analytics.projections import PROJECTIONS
from shared.eventsourced.commands import Commands
from shared.eventsourced.service import Service
from shared.settings import Settings


def service(settings: Settings) -> Service:
    """Analytics: it listens, keeps rows, answers, and serves the control tower."""
    tower = Tower(Peers(settings.urls_of_services(), settings.urls_of_replicas()))

    def all_routes(commands: Commands) -> APIRouter:
        router = routes(commands)
        router.routes.extend(tower.routes(commands).routes)
        return router

    return Service(
        name="analytics",
        migrations=Path(__file__).parent / "migrations",
        routes=all_routes,
        stopping=tower.end_updates,
        close=tower.close,
        hears=HEARS,
        projections=PROJECTIONS,
    )
