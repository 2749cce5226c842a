"""`o2c migrate`: bring the databases of services to what this version needs, before it is rolled out."""

import importlib
import time
from functools import partial
from typing import Annotated

import asyncpg
import typer

from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run
from o2c.environment import settings
from o2c.stack import SERVICES
from shared.errors import UnavailableError, in_words
from shared.eventsourced.faults import Backoff, passes
from shared.eventsourced.migrating import check_tables
from shared.eventsourced.migrating import migrate as migrate_store
from shared.eventsourced.service import Service
from shared.settings import Settings

STATEMENT_SECONDS_MAX = 3600
"""An index over a long event table takes its time; another replica that migrates is waited for as long."""

AWAY_SECONDS_MAX = 300.0
"""Several times what a failover or a restart of PostgreSQL takes."""

SAID_AGAIN_SECONDS = 30.0
"""Who watches sees this often that it still waits."""


def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE...]", help=f"Of {', '.join(SERVICES)}. Default: all.")
    ] = None,
    as_json: AsJson = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait, for each service, for a database that is away.")
    ] = AWAY_SECONDS_MAX,
) -> None:
    """Apply the migrations that are missing, one after the other, and check the declared tables.

    A service does the same at its start; doing it before lets a migration that fails stop the roll-out. A database that
    is away, or goes away meanwhile, is waited for (exit code 3 if it does not come); one that does not exist is not.
    """
    names = services or list(SERVICES)
    unknown = sorted(set(names) - set(SERVICES))
    if unknown:
        fail(f"unknown service {', '.join(unknown)}; there are {', '.join(SERVICES)}", Exit.USAGE)
    with explained():
        own = settings()
    applied = {name: run(partial(_migrated, name, own, wait)) for name in names}
    if as_json:
        print_json({"services": applied})
        return
    for name, numbers in applied.items():
        out.print(f"{name}: applied {', '.join(map(str, numbers))}" if numbers else f"{name}: nothing to do")


async def _migrated(name: str, own: Settings, seconds_max: float) -> list[int]:
    """The numbers of the migrations that were applied, tried again for so long as the database is away."""
    backoff, begun = Backoff(), time.monotonic()
    said, said_at = "", begun
    while True:
        try:
            return await _applied(name, own)
        except Exception as error:  # each migration is one transaction: begun again, it is done once
            if not passes(error) or isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
                raise  # a wrong password is told at once, to who typed it
            reason = in_words(error)
            now = time.monotonic()
            if now - begun >= seconds_max:
                raise UnavailableError(f"{name}: the database is away, after {now - begun:.0f} s: {reason}") from error
            if reason != said or now - said_at >= SAID_AGAIN_SECONDS:
                err.print(f"{name}: waits for the database since {now - begun:.0f} s: {reason}", markup=False)
                said, said_at = reason, now
        await backoff.wait()


async def _applied(name: str, own: Settings) -> list[int]:
    service: Service = importlib.import_module(f"services.{name}.app").service(own)
    try:
        connection = await asyncpg.connect(
            own.database_of(name), timeout=10, command_timeout=STATEMENT_SECONDS_MAX, server_settings={"jit": "off"}
        )
    except asyncpg.InvalidCatalogNameError as error:
        fail(f"{error}: create it and its owner first", Exit.UNREACHABLE)
    try:
        applied = await migrate_store(connection, service.migrations)
        await check_tables(connection, [projection.table for projection in service.projections])
    finally:
        await connection.close()
    return applied
