"""Work that follows from what is in the store and not from a message: found and done for as long as there is any."""

import asyncio
from typing import Any

import structlog

from shared.errors import in_words
from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To
from shared.eventsourced.faults import passes
from shared.eventsourced.service import Service
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.work import Work
from shared.tracing import child_of

log = structlog.get_logger()

DUE_SECONDS = 1.0
"""How often one looks when there was nothing to do."""


async def do_what_is_due(service: Service, commands: Commands, unit: UnitOfWork) -> None:
    """Decide the commands that are due, each in a transaction of its own; ends only by cancellation.

    Replicas may do this at the same time: what another one did leads to no facts any more. A command that leads to
    none, or fails, is left alone until the next look.
    """
    while True:
        did = False
        try:
            for to in await service.due(commands):
                did |= await _done(to, unit)
        except Exception as error:
            log.warning("what is due waits", error=in_words(error))
        if not did:
            await asyncio.sleep(DUE_SECONDS)


async def _done(to: To[Any], unit: UnitOfWork) -> bool:
    """Whether the command led to anything. Raises what passes by itself; what does not is of this command alone."""
    work = Work((to,), corr=to.key, cause="due", trace=child_of(""))
    try:
        await unit.run(Batch([work]))
    except Exception as error:
        if passes(error):
            raise
        work.error = error
    if work.error is not None:
        log.error("what is due cannot be done", stream=to.stream, error=in_words(work.error))
        return False
    return bool(work.facts)
