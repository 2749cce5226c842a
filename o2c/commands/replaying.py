"""`o2c replay` and `o2c rebuild`: Kafka anew from the stores, and read tables anew from what was recorded."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, err, explained, out, print_json, run
from o2c.services import REBUILD_SECONDS_MAX, Services
from shared.contracts.catalogue import SPEAKERS

Some = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE...]", help="Default: all.")]


def replay(services: Some = None, as_json: AsJson = False) -> None:
    """Have services say every public fact again, in order, under the same ids. Listeners drop what they know."""
    with explained():
        where = addresses()
    names = services or [name for name in where.http_urls if name in SPEAKERS]
    answers = run(lambda: _post(where, names, "/replay"))
    if as_json:
        print_json({"services": answers})
        return
    for name in names:
        out.print(f"{name} says everything again; `o2c status` shows how far it is")


def rebuild(services: Some = None, as_json: AsJson = False) -> None:
    """Make read tables anew; nothing else happens again.

    Queries see the old rows until the new ones are whole; those of analytics see them grow, since it hears
    everything again.
    """
    with explained():
        where = addresses()
    names = services or list(where.http_urls)
    answers = run(lambda: _post(where, names, "/rebuild"))
    if as_json:
        print_json({"services": answers})
        return
    for name, answer in answers.items():
        facts = answer.get("facts", 0)
        out.print(f"{name}: from {facts} facts" if facts else f"{name}: hears everything again; see `o2c status`")


async def _post(where: Addresses, names: Sequence[str], path: str) -> dict[str, Any]:
    """One service after the other: each uses the machine's cores by itself."""
    answers = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        async with Services(where.http_urls) as services:
            for name in names:
                task = progress.add_task(f"{path[1:]} {name}", total=None)
                answers[name] = await services.post(name, path, seconds_max=REBUILD_SECONDS_MAX)
                progress.remove_task(task)
    return answers
