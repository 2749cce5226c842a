"""`o2c restored`: after a service's database was restored from a backup, before the service starts again."""

import time
from typing import Annotated

import msgspec
import typer

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, Exit, explained, fail, out, print_json, run
from o2c.restoring import restored as mend_restored
from o2c.stack import SERVICES
from shared.errors import UnavailableError


def restored(
    service: Annotated[str, typer.Argument(help="The service whose database was restored; it must be stopped.")],
    as_owner: Annotated[
        str,
        typer.Option(
            envvar="O2C_OWNER_DATABASE_URL",
            show_default=False,
            metavar="URL",
            help="PostgreSQL server as the role that owns the service's database, where O2C_DATABASE_URL only reads. "
            "Default: O2C_DATABASE_URL.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bring a restored store in line with what its service had said, and list what was said and is forgotten.

    See docs/restoring.md: what this can mend by itself, and what people have to look after.
    """
    if service not in SERVICES:
        fail(f"there is no service {service!r}; there are {', '.join(SERVICES)}", Exit.USAGE)
    with explained():
        where = _where(service)
    at_us = time.time_ns() // 1000
    owner = msgspec.structs.replace(where, database_url=as_owner or where.database_url)

    def database_of(name: str) -> str:
        return (owner if name == service else where).database_of(name)

    done = run(lambda: mend_restored(database_of, where.kafka_servers, service, at_us))
    if as_json:
        print_json(done)
        return
    for kind, count in done.lost.items():
        out.print(f"{count} × {kind or 'unknown (no longer on Kafka)'} was said and is forgotten")
    again = ", ".join((*done.inbound, "what other services said"))
    out.print(f"{service} may write again: start it. Since the backup it hears again {again}.")


def _where(service: str) -> Addresses:
    """Of the system that is up; who is told to start one is told to leave the service down."""
    try:
        return addresses()
    except UnavailableError as error:
        raise UnavailableError(
            f"{error.message}; leave this service down: `o2c up --detach --without {service}`"
        ) from error
