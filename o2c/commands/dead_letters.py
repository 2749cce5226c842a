"""`o2c dead-letters`: look at messages that could not be processed, try them again, or give them up."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from o2c.addresses import addresses
from o2c.commands.output import AsJson, Exit, explained, fail, out, print_json, run, table
from o2c.services import Services
from shared.errors import DomainError

app = typer.Typer(no_args_is_help=True, help="Messages that could not be processed.")

Reference = Annotated[str, typer.Argument(metavar="SERVICE/ID", help="As `dead-letters list` shows it.")]
References = Annotated[list[str], typer.Argument(metavar="SERVICE/ID...", help="As `dead-letters list` shows them.")]

PAGE = 200


@app.command("list")
def list_letters(
    service: Annotated[str | None, typer.Option(help="Only of this service.")] = None,
    status: Annotated[
        str, typer.Option(help="parked, waiting, done, dropped, or all. Default: what is still to be cared for.")
    ] = "open",
    limit: Annotated[int, typer.Option(min=1, help="Newest so many of each service.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first; of those still to be cared for, what is parked before what waits behind it."""
    if status not in ("open", "all", "parked", "waiting", "done", "dropped"):
        fail(f"unknown status {status!r}", Exit.USAGE)
    letters = _with_services(lambda services: _listed(services, service, status, limit))
    if as_json:
        print_json({"dead_letters": letters})
        return
    listing = table("letter", "status", "type", "message", "tries", "reason")
    for letter in letters:
        values = (letter[name] for name in ("ref", "status", "type", "message_id", "attempts", "reason"))
        listing.add_row(*(str(value).replace("[", r"\[") for value in values))
    out.print(listing if letters else "There are no dead letters.")


@app.command()
def show(ref: Reference, as_json: AsJson = False) -> None:
    """Show one dead letter whole: reason, headers and body."""
    service, letter_id = _parsed(ref)
    letter = _with_services(lambda services: services.get(service, f"/dead-letters/{letter_id}"))
    if as_json:
        print_json(letter)
        return
    listing = Table.grid(padding=(0, 2))
    for name, value in letter.items():
        if name != "body_base64":
            listing.add_row(name, str(value).replace("[", r"\["))
    out.print(listing)


@app.command()
def retry(refs: References, as_json: AsJson = False) -> None:
    """Try letters again, and those that wait behind them. Exit code 1 if one fails again."""
    answers = _each(refs, "retry")
    _report(answers, as_json)
    if any(answer.get("stopped_by") or "error" in answer for answer in answers):
        raise typer.Exit(Exit.WRONG)


@app.command()
def drop(refs: References, as_json: AsJson = False) -> None:
    """Give letters up for good; those that wait behind them are tried."""
    answers = _each(refs, "drop")
    _report(answers, as_json)
    if any("error" in answer for answer in answers):
        raise typer.Exit(Exit.WRONG)


def _parsed(ref: str) -> tuple[str, int]:
    service, _, number = ref.partition("/")
    if not service or not number.isdecimal():
        fail(f"{ref!r} is no letter: write SERVICE/ID as `o2c dead-letters list` shows it", Exit.USAGE)
    return service, int(number)


def _with_services(work: Callable[[Services], Awaitable[Any]]) -> Any:
    with explained():
        where = addresses()

    async def asked() -> Any:
        async with Services(where.http_urls) as services:
            return await work(services)

    return run(asked)


async def _listed(services: Services, service: str | None, status: str, limit: int) -> list[dict[str, Any]]:
    asked = {"open": ("parked", "waiting"), "all": ("",)}.get(status, (status,))
    letters = []
    for name in [service] if service else services.names:
        found = [letter for each in asked for letter in await _pages(services, name, each, limit)]
        # Of open ones first what can be tried: the newest alone may all wait, and hide what they wait for.
        found.sort(key=lambda letter: (status == "open" and letter["status"] != "parked", -letter["id"]))
        letters += [{"ref": f"{name}/{letter['id']}", "service": name, **letter} for letter in found[:limit]]
    return letters


async def _pages(services: Services, service: str, status: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < limit:
        page = await services.get(
            service, "/dead-letters", status=status, limit=min(limit - len(found), PAGE), cursor=cursor
        )
        found += page["items"]
        cursor = page.get("next")
        if cursor is None:
            break
    return found


def _each(refs: list[str], verb: str) -> list[dict[str, Any]]:
    """One after the other: they may wait behind each other."""
    parsed = [_parsed(ref) for ref in refs]

    async def ask(services: Services) -> list[dict[str, Any]]:
        answers = []
        for service, letter_id in parsed:
            try:
                answer = await services.post(service, f"/dead-letters/{letter_id}/{verb}")
            except DomainError as error:
                answer = {"error": error.message}
            answers.append({"ref": f"{service}/{letter_id}", **answer})
        return answers

    answers: list[dict[str, Any]] = _with_services(ask)
    return answers


def _report(answers: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"letters": answers})
        return
    for answer in answers:
        why = answer.get("error") or answer.get("stopped_by")
        said = f"not done: {why}" if why else f"done ({answer['done']} processed)"
        out.print(f"{answer['ref']}: {said}", markup=False)
