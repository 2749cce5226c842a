"""`o2c verify`: the promises that data can show, checked over all stores, with the ids of what breaks them."""

from collections.abc import Collection
from typing import Annotated

import typer

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, Exit, explained, out, print_json, run, table
from o2c.verify import OPEN_LETTERS, Verdict, verify_all

SECONDS_MAX = 30.0


def verify(
    as_json: AsJson = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for what is still on its way before it counts as stuck.")
    ] = SECONDS_MAX,
    allow_open_letters: Annotated[
        bool, typer.Option("--allow-open-letters", help="Show open dead letters, but do not fail for them alone.")
    ] = False,
) -> None:
    """Check every promise that data can show, across all services. Exit code 1 if one does not hold."""
    with explained():
        where = addresses()
    tolerated = (OPEN_LETTERS,) if allow_open_letters else ()
    verdict = run(lambda: checked(where, wait, tolerated))
    if as_json:
        print_json(verdict.as_json())
    else:
        show(verdict)
    if not verdict.ok:
        raise typer.Exit(Exit.WRONG)


async def checked(where: Addresses, wait: float, tolerated: Collection[str] = ()) -> Verdict:
    """The verdict over the databases of a system. `tolerated`: checks for which it does not fail."""
    return await verify_all(where.database_of, seconds_max=wait, tolerated=tolerated)


def show(verdict: Verdict) -> None:
    """Every check with its evidence."""
    listing = table("", "check", "checked", "offending")
    for check in verdict.checks:
        mark = "[green]ok[/]" if check.ok else "[yellow]open[/]" if check.tolerated else "[bold red]WRONG[/]"
        offending = ", ".join(check.offending).replace("[", r"\[")
        listing.add_row(mark, check.name, str(check.checked), offending)
    out.print(listing)
