"""Readings → the panels of the overview as HTML, one template each."""

from collections.abc import Mapping

from services.analytics.pages.figures import FLOW
from services.analytics.pages.live import Reading
from services.analytics.pages.rendering import rendered

PANELS: Mapping[str, tuple[str, ...]] = {
    "pulse": ("flow", "stages", "placed", "services"),
    "flow": ("flow",),
    "placed": ("placed",),
    "stages": ("stages",),
    "funnel": ("funnel",),
    "cycle": ("cycle",),
    "queues": ("credit", "backorders", "cash", "services"),
    "aging": ("aging",),
    "balance": ("balance",),
    "services": ("services",),
    "clock": ("flow",),
    "badges": ("credit", "backorders", "cash", "services"),
}
"""Panel → the sources it is made of. Its template has its name."""


def panels(readings: Mapping[str, Reading]) -> dict[str, str]:
    """Every panel by name."""
    return {
        name: rendered(f"panels/{name}.html", FLOW=FLOW, **{source: readings[source] for source in sources})
        for name, sources in PANELS.items()
    }
