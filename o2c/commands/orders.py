"""`o2c order show`: everything the system has said about one order, in the order of time."""

from typing import Annotated, Any

import typer

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, explained, out, print_json, run, table
from o2c.services import Services

app = typer.Typer(no_args_is_help=True, help="Single orders.")

PAGE = 200


@app.command()
def show(order_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Tell the whole story of one order across all services."""
    with explained():
        where = addresses()
    story = run(lambda: _story(where, order_id))
    if as_json:
        print_json({"order_id": order_id, "story": story})
        return
    listing = table("at", "service", "what", "")
    for step in story:
        what = str(step.get("type", "")).removeprefix("o2c.").partition(".")[2].rpartition(".v")[0] or step.get("type")
        listing.add_row(str(step.get("at")), str(step.get("speaker")), str(what), str(step.get("summary", "")))
    out.print(listing)


async def _story(where: Addresses, order_id: str) -> list[dict[str, Any]]:
    from urllib.parse import quote

    path = f"/orders/{quote(order_id, safe='')}/story"
    async with Services(where.http_urls) as services:
        answer: Any = await services.get("analytics", path, limit=PAGE)
        steps = list(answer["items"] if isinstance(answer, dict) else answer)
        while isinstance(answer, dict) and answer.get("next"):
            answer = await services.get("analytics", path, limit=PAGE, cursor=answer["next"])
            steps += answer["items"]
    return steps
