"""Waiting until the services have worked off everything that was said to them."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from o2c.services import Services

POLL_SECONDS = 0.2


async def settled(http_urls: Mapping[str, str], *, seconds_max: float) -> float | None:
    """Since when (`time.monotonic`) all services are ready with nothing left to say or to hear, seen thrice in a row.

    None: that is not so within this time.
    """
    until = time.monotonic() + seconds_max
    quiet, before, since = 0, -1, 0.0
    async with Services(http_urls) as services:
        while quiet < 3:
            looked = time.monotonic()
            statuses = (await services.statuses()).values()
            events = sum(status.get("events", 0) for status in statuses)
            if not all(map(at_rest, statuses)):
                quiet = 0
            elif quiet and events == before:
                quiet += 1
            else:
                quiet, since = 1, looked
            before = events
            if looked > until:
                return None
            await asyncio.sleep(POLL_SECONDS)
    return since


def at_rest(status: Mapping[str, Any]) -> bool:
    """Whether a service, by its own status, has nothing left to say or to hear: always, of a replica that stands by."""
    if "unreachable" in status or status.get("missing"):
        return False
    waiting = status["relay"]["backlog"] + sum(status["lag"].values()) + status["consumer"]["gaps"]
    return bool(waiting == 0)
