"""`o2c status`: what each replica of each service has done, how far it is behind, and what it could not process."""

from collections.abc import Mapping
from typing import Any

import typer
from rich.table import Table

from o2c.addresses import addresses
from o2c.commands.output import AsJson, Exit, explained, out, print_json, run
from o2c.environment import settings
from o2c.services import Services

Found = Mapping[str, list[dict[str, Any]]]
"""Service → what each of its replicas answered."""


def status(as_json: AsJson = False) -> None:
    """Show lag, backlog, dead letters and positions of every replica of every service.

    A name in O2C_REPLICA_URLS (default: O2C_SERVICE_URLS) that leads to several addresses is asked at each of them.

    "lag" and "gaps": of what this replica takes; "said again": messages that it has said again since its start
    (`o2c replay`, gaps of listeners). All else is of the store, which replicas share.

    Exit code 0: all are well; 1: some miss something (without Kafka a process still answers); 3: some do not answer.
    """
    with explained():
        urls = {**addresses().http_urls, **settings().urls_of_replicas()}
    found = run(lambda: _found(urls))
    if as_json:
        print_json({"services": {name: _spokesman(each) for name, each in found.items()}, "replicas": found})
    else:
        out.print(_table(found))
    raise typer.Exit(_exit(found))


async def _found(urls: Mapping[str, str]) -> Found:
    async with Services(urls) as services:
        return await services.statuses_of_replicas()


def _spokesman(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """For who wants one answer per service: a ready replica's, of one that hears, else that of one that answers."""
    return min(answers, key=lambda each: ("unreachable" in each, bool(each.get("missing")), not each.get("lag")))


def _exit(found: Found) -> Exit:
    answers = [each for replicas in found.values() for each in replicas]
    if any("unreachable" in answer for answer in answers):
        return Exit.UNREACHABLE
    return Exit.WRONG if any(answer.get("missing") for answer in answers) else Exit.OK


def _table(found: Found) -> Table:
    table = Table(box=None, pad_edge=False)
    texts = ["service", "replica", "state"]
    if not any(answer["address"] for replicas in found.values() for answer in replicas):
        texts.remove("replica")
    for column in (*texts, "events", "heard", "lag", "backlog", "said again", "gaps", "dead letters"):
        table.add_column(column, justify="left" if column in texts else "right")
    for name, replicas in found.items():
        for answer in replicas:
            who = [name, answer["address"]] if "replica" in texts else [name]
            table.add_row(*who, *(_unreachable(answer) if "unreachable" in answer else _row(answer)))
    return table


def _unreachable(answer: dict[str, Any]) -> list[str]:
    return [f"[red]unreachable[/]: {answer['unreachable']}"]


def _row(answer: dict[str, Any]) -> list[str]:
    missing = answer.get("missing") or {}
    state = "; ".join(f"{part}: {why}" for part, why in missing.items())
    letters = answer.get("dead_letters", {})
    return [
        f"[yellow]misses[/] {state}" if missing else "[green]ready[/]",
        str(answer.get("events", 0)),
        str(sum(answer.get("positions", {}).values())),
        str(sum(answer.get("lag", {}).values())),
        str(answer.get("relay", {}).get("backlog", 0)),
        str(answer.get("relay", {}).get("sent_again", 0)),
        str(answer.get("consumer", {}).get("gaps", 0)),
        str(letters.get("parked", 0) + letters.get("waiting", 0)),
    ]
