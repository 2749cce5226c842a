"""`o2c restored`: after services' databases were restored from a backup, before the services start again."""

import time
from collections.abc import Iterable
from typing import Annotated

import msgspec
import typer

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, Exit, explained, fail, out, print_json, run
from o2c.restoring import Restored
from o2c.restoring import restored as mend_restored
from o2c.stack import SERVICES
from shared.errors import UnavailableError


def restored(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE...", help="Whose databases were restored; all of these must be stopped."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All services: the whole server was restored.")] = False,
    as_owner: Annotated[
        str,
        typer.Option(
            envvar="O2C_OWNER_DATABASE_URL",
            show_default=False,
            metavar="URL",
            help="PostgreSQL server as the role that owns the services' databases, where O2C_DATABASE_URL only reads. "
            "Default: O2C_DATABASE_URL.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bring restored stores in line with what their services had said, and list what was said and is forgotten.

    See docs/restoring.md: what this can mend by itself, and what people have to look after.
    """
    named = list(SERVICES) if every else list(dict.fromkeys(services or ()))
    if not named or (every and services):
        fail("name the services whose databases were restored, or say --all", Exit.USAGE)
    for service in named:
        if service not in SERVICES:
            fail(f"there is no service {service!r}; there are {', '.join(SERVICES)}", Exit.USAGE)
    with explained():
        where = _where(named)
    at_us = time.time_ns() // 1000
    owner = msgspec.structs.replace(where, database_url=as_owner or where.database_url)
    done = run(lambda: mend_restored(owner.database_of, where.database_of, where.kafka_servers, named, at_us))
    if as_json:
        print_json({"services": done})
        return
    for each in done:
        _tell(each)


def _tell(done: Restored) -> None:
    for kind, count in done.lost.items():
        out.print(f"{done.service}: {count} × {kind or 'unknown (no longer on Kafka)'} was said and is forgotten")
    again = ", ".join((*done.inbound, "what other services said"))
    out.print(f"{done.service} may write again: start it. Since the backup it hears again {again}.")


def _where(services: Iterable[str]) -> Addresses:
    """Of the system that is up; who is told to start one is told to leave the services down."""
    try:
        return addresses()
    except UnavailableError as error:
        without = " ".join(f"--without {service}" for service in services)
        raise UnavailableError(f"{error.message}; leave what was restored down: `o2c up --detach {without}`") from error
