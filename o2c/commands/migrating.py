"""`o2c migrate`: bring the databases of services to what this version needs, before it is rolled out."""

import importlib
from functools import partial
from typing import Annotated

import asyncpg
import typer

from o2c.commands.output import AsJson, Exit, explained, fail, out, print_json, run
from o2c.environment import settings
from o2c.stack import SERVICES
from shared.eventsourced.migrating import check_tables
from shared.eventsourced.migrating import migrate as migrate_store
from shared.eventsourced.service import Service
from shared.settings import Settings

STATEMENT_SECONDS_MAX = 3600
"""An index over a long event table takes its time; another replica that migrates is waited for as long."""


def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE...]", help=f"Of {', '.join(SERVICES)}. Default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that are missing, one after the other, and check the declared tables.

    A service does the same at its start; doing it before lets a migration that fails stop the roll-out.
    """
    names = services or list(SERVICES)
    unknown = sorted(set(names) - set(SERVICES))
    if unknown:
        fail(f"unknown service {', '.join(unknown)}; there are {', '.join(SERVICES)}", Exit.USAGE)
    with explained():
        own = settings()
    applied = {name: run(partial(_migrated, name, own)) for name in names}
    if as_json:
        print_json({"services": applied})
        return
    for name, numbers in applied.items():
        out.print(f"{name}: applied {', '.join(map(str, numbers))}" if numbers else f"{name}: nothing to do")


async def _migrated(name: str, own: Settings) -> list[int]:
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
