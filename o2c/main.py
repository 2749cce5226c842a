"""The `o2c` command: puts the operator's commands together."""

from importlib.metadata import version
from typing import Annotated

import typer

from o2c.commands import (
    bench,
    dead_letters,
    demo,
    importing,
    migrating,
    orders,
    replaying,
    restoring,
    stack,
    status,
    verify,
)

app = typer.Typer(
    name="o2c",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Order to cash as event-sourced services. State is in .o2c/ or O2C_HOME.\n\n"
    "Exit codes: 0 all is well, 1 something was found wrong, 2 wrong usage, 3 the system cannot be reached.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("o2c"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


app.command()(stack.up)
app.command()(stack.down)
app.command("run")(stack.run_services)
app.command()(migrating.migrate)
app.command()(demo.demo)
app.command()(status.status)
app.command()(verify.verify)
app.command()(bench.bench)
app.add_typer(importing.app, name="import")
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(replaying.replay)
app.command()(replaying.rebuild)
app.command()(restoring.restored)
app.add_typer(orders.app, name="order")
app.command()(stack.config)
