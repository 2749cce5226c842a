"""Waiting in tests: for a condition, and never for ever."""

import asyncio
import time
from collections.abc import Callable


async def until(holds: Callable[[], object], seconds_max: float = 20.0) -> None:
    """Return once it holds; fail when it does not within so many seconds."""
    end = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < end, f"waited {seconds_max} s in vain"
        await asyncio.sleep(0.01)
