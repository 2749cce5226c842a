"""`o2c restored`: after a service's database was restored from a backup, before the service starts again."""

import time
from typing import Annotated

import typer

from o2c.addresses import addresses
from o2c.commands.output import AsJson, Exit, explained, fail, out, print_json, run
from o2c.restoring import restored as mend_restored
from o2c.stack import SERVICES


def restored(
    service: Annotated[str, typer.Argument(help="The service whose database was restored; it must be stopped.")],
    as_json: AsJson = False,
) -> None:
    """Bring a restored store in line with what its service had said, and list what was said and is forgotten.

    See docs/restoring.md: what this can mend by itself, and what people have to look after.
    """
    if service not in SERVICES:
        fail(f"there is no service {service!r}; there are {', '.join(SERVICES)}", Exit.USAGE)
    with explained():
        where = addresses()
    at_us = time.time_ns() // 1000
    done = run(lambda: mend_restored(where.database_of, where.kafka_servers, service, at_us))
    if as_json:
        print_json(done)
        return
    for kind, count in done.lost.items():
        out.print(f"{count} × {kind or 'unknown (no longer on Kafka)'} was said and is forgotten")
    again = ", ".join((*done.inbound, "what other services said"))
    out.print(f"{service} may write again: start it. Since the backup it hears again {again}.")
