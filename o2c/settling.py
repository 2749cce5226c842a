"""Waiting until the services have worked off everything that was said to them."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from o2c.services import Services

POLL_SECONDS = 0.2


async def settled(http_urls: Mapping[str, str], *, seconds_max: float) -> bool:
    """Whether, within this time, all services were ready with nothing left to say or to hear, twice in a row."""
    until = time.monotonic() + seconds_max
    quiet, before = 0, -1
    async with Services(http_urls) as services:
        while quiet < 2:
            statuses = (await services.statuses()).values()
            events = sum(status.get("events", 0) for status in statuses)
            quiet = quiet + 1 if events == before and all(map(at_rest, statuses)) else 0
            before = events
            if time.monotonic() > until:
                return False
            await asyncio.sleep(POLL_SECONDS)
    return True


def at_rest(status: Mapping[str, Any]) -> bool:
    """Whether a service, by its own status, has nothing left to say or to hear."""
    if "unreachable" in status or status.get("missing"):
        return False
    waiting = status["relay"]["backlog"] + sum(status["lag"].values()) + status["consumer"]["gaps"]
    return bool(waiting == 0)
