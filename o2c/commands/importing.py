"""`o2c import orders`: a file of orders goes to the system, and every row of it is accounted for."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from o2c.addresses import Addresses, addresses
from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run
from o2c.importing import ImportReport, open_text, read_orders
from o2c.outside.envelope import envelope
from o2c.outside.kafka import Publisher
from shared.money import EXPONENTS

app = typer.Typer(no_args_is_help=True, help="Files into the system.")

CHUNK = 500
"""Messages that are published at once."""


@app.command()
def orders(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and account; publish nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import orders from a CSV file (also .csv.gz): the Online Retail columns or the plain format of docs/importing.md.

    Every row is taken or refused with a reason. Importing a file twice changes nothing.
    """
    with explained():
        where = None if dry_run else addresses()
    report = run(lambda: _import(file, where))
    if as_json:
        print_json(report.as_json())
    else:
        show(report)
    if not report.balanced:
        fail("rows or sums do not add up: this is a bug of the importer, please report it", Exit.WRONG)


async def _import(file: Path, where: Addresses | None) -> ImportReport:
    if where is None:
        return await _read(file, None)
    async with Publisher(where.kafka_servers) as publisher:
        return await _read(file, publisher)


async def _read(file: Path, publisher: Publisher | None) -> ImportReport:
    report = ImportReport()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress, file.open("rb") as raw:
        raw.seek(0, 2)
        task = progress.add_task(f"{file.name}", total=raw.tell())
        with open_text(file) as text:
            messages = read_orders(text, report)
            while chunk := list(islice(messages, CHUNK)):
                if publisher is not None:
                    now = datetime.now(UTC)
                    await publisher.publish([envelope(message, now) for message in chunk])
                progress.update(task, completed=_read_so_far(text), description=f"{report.orders} orders")
    return report


def _read_so_far(text: object) -> int:
    """Bytes of the file that were read, packed ones of a packed file."""
    raw = text.buffer  # type: ignore[attr-defined]
    return int(getattr(raw, "fileobj", None).tell() if hasattr(raw, "fileobj") else raw.tell())  # type: ignore[union-attr]


def show(report: ImportReport) -> None:
    """The account of an import for people."""
    out.print(
        f"{report.orders} orders of {report.customers} customers: "
        f"{report.taken} of {report.rows} rows taken, {report.refused.total()} refused"
    )
    reasons = Table(box=None, pad_edge=False, show_header=False)
    for reason, rows in report.refused.most_common():
        reasons.add_row("", str(rows), reason)
    if report.refused:
        out.print(reasons)
    for currency, sums in sorted(report.sums.items()):
        if currency in EXPONENTS:
            out.print(f"{currency} {sums.taken:,f} taken + {sums.refused:,f} refused = {sums.file:,f} in the file")
