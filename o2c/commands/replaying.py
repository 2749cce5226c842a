"""`o2c replay` and `o2c rebuild`: Kafka anew from the stores, and read tables anew from what was recorded."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, err, explained, out, print_json, run
from o2c.services import REBUILD_SECONDS_MAX, Services
from shared.contracts.catalogue import SPEAKERS

Some = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE...]", help="Default: all.")]


def replay(services: Some = None, as_json: AsJson = False) -> None:
    """Have services say every public fact again, in order, under the same ids. Listeners drop what they know.

    Returns as soon as it is asked for; `o2c status` counts what was said again.
    """
    with explained():
        where = addresses()
    names = services or [name for name in where.http_urls if name in SPEAKERS]
    silent = [name for name in names if name in where.http_urls and name not in SPEAKERS]
    answers = run(lambda: _each(where, [name for name in names if name not in silent], "replay", _replay))
    if as_json:
        print_json({"services": answers | {name: {"lanes": 0} for name in silent}})
        return
    for name in answers:
        out.print(f'{name} says everything again; `o2c status` counts it under "said again"')
    for name in silent:
        out.print(f"{name} has nothing to say again: it says nothing publicly")


def rebuild(services: Some = None, as_json: AsJson = False) -> None:
    """Make read tables anew; nothing else happens again.

    Queries see the old rows until the new ones are whole; those of analytics see them grow, since it hears
    everything again. A service that does not answer a first question within 10 seconds is given up; for the rebuild
    itself up to 30 minutes are waited, one service after the other.
    """
    with explained():
        where = addresses()
    names = services or list(where.http_urls)
    answers = run(lambda: _each(where, names, "rebuild", _rebuild))
    if as_json:
        print_json({"services": answers})
        return
    for name, answer in answers.items():
        facts = answer.get("facts", 0)
        out.print(f"{name}: from {facts} facts" if facts else f"{name}: hears everything again; see `o2c status`")


async def _replay(services: Services, name: str) -> Any:
    return await services.post(name, "/replay")


async def _rebuild(services: Services, name: str) -> Any:
    """Nobody waits half an hour for a process that hangs already."""
    await services.get(name, "/health/live")
    return await services.post(name, "/rebuild", seconds_max=REBUILD_SECONDS_MAX)


async def _each(
    where: Addresses, names: Sequence[str], verb: str, ask: Callable[[Services, str], Awaitable[Any]]
) -> dict[str, Any]:
    """One service after the other: each uses the machine's cores by itself."""
    answers = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        async with Services(where.http_urls) as services:
            for name in names:
                task = progress.add_task(f"{verb} {name}", total=None)
                answers[name] = await ask(services, name)
                progress.remove_task(task)
    return answers
