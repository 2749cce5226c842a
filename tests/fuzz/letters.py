"""The dead letters that fuzzing leads to, given up afterwards: they are no fault of the system."""

import asyncio

from tests.e2e.system import System, eventually_true

AT_ONCE = 50


async def drop_letters(system: System) -> None:
    """Give up every open letter of every service."""
    for service in system.clients:
        letters = [each for status in ("parked", "waiting") for each in await system.letters(service, status=status)]
        for start in range(0, len(letters), AT_ONCE):
            await asyncio.gather(*(system.drop(service, [each]) for each in letters[start : start + AT_ONCE]))

        async def none_open(service: str = service) -> bool:
            return not await system.letters(service, status="parked")

        await eventually_true(none_open)
