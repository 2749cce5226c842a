"""Work that follows from what is in the store and not from a message: found and done for as long as there is any."""

import asyncio

import structlog

from shared.errors import in_words
from shared.eventsourced.commands import Commands
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
                work = Work((to,), corr=to.key, cause="due", trace=child_of(""))
                await unit.run(Batch([work]))
                if work.error is not None:
                    log.error("what is due cannot be done", stream=to.stream, error=str(work.error))
                did |= bool(work.facts)
        except Exception as error:
            log.warning("what is due waits", error=in_words(error))
        if not did:
            await asyncio.sleep(DUE_SECONDS)
