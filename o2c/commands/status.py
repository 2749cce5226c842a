"""`o2c status`: what each service has done, how far it is behind, and what it could not process."""

from typing import Any

import typer
from rich.table import Table

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, Exit, explained, out, print_json, run
from o2c.services import Services


def status(as_json: AsJson = False) -> None:
    """Show lag, backlog, dead letters and positions of every service.

    "said again": messages that the answering process has said again since its start (`o2c replay`, gaps of listeners).

    Exit code 0: all are ready; 1: some are not ready; 3: some do not answer.
    """
    with explained():
        where = addresses()
    found = run(lambda: _statuses(where))
    if as_json:
        print_json({"services": found})
    else:
        out.print(_table(found))
    raise typer.Exit(_exit(found))


async def _statuses(where: Addresses) -> dict[str, dict[str, Any]]:
    async with Services(where.http_urls) as services:
        return await services.statuses()


def _exit(found: dict[str, dict[str, Any]]) -> Exit:
    if any("unreachable" in answer for answer in found.values()):
        return Exit.UNREACHABLE
    return Exit.WRONG if any(answer.get("missing") for answer in found.values()) else Exit.OK


def _table(found: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("service", "state", "events", "heard", "lag", "backlog", "said again", "gaps", "dead letters"):
        table.add_column(column, justify="left" if column in ("service", "state") else "right")
    for name, answer in found.items():
        table.add_row(name, *(_unreachable(answer) if "unreachable" in answer else _row(answer)))
    return table


def _unreachable(answer: dict[str, Any]) -> list[str]:
    return [f"[red]unreachable[/]: {answer['unreachable']}"]


def _row(answer: dict[str, Any]) -> list[str]:
    missing = answer.get("missing") or {}
    state = "; ".join(f"{part}: {why}" for part, why in missing.items())
    letters = answer.get("dead_letters", {})
    return [
        f"[yellow]not ready[/]: {state}" if missing else "[green]ready[/]",
        str(answer.get("events", 0)),
        str(sum(answer.get("positions", {}).values())),
        str(sum(answer.get("lag", {}).values())),
        str(answer.get("relay", {}).get("backlog", 0)),
        str(answer.get("relay", {}).get("sent_again", 0)),
        str(answer.get("consumer", {}).get("gaps", 0)),
        str(letters.get("parked", 0) + letters.get("waiting", 0)),
    ]
