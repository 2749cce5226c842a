"""`o2c demo`: real orders go to cash through all services, before your eyes, and it is proved."""

import asyncio
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count, islice
from pathlib import Path
from shutil import which
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from o2c.addresses import Addresses
from o2c.commands import verify as verifying
from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run
from o2c.commands.stack import BrokerChoice, WithBroker, show
from o2c.commands.stacking import addresses_of, fresh_stack, report_to
from o2c.data import demo_orders
from o2c.importing import ImportReport, open_text, read_orders
from o2c.outside.clerk import Clerk
from o2c.outside.plan import DEMO_SHARES
from o2c.outside.world import Course, World
from o2c.picture import take_picture
from o2c.services import Services
from o2c.stack import StackOptions, StackState, default_home
from o2c.verify import Verdict, trial_balance
from shared.contracts.inbound import Customer, Order
from shared.money import grouped_from_minor
from shared.values import Value, evolved

SEED = 2010
LATE_BP = 800
IN_FLIGHT_MAX = 200
SECONDS_MAX = 120.0
VERIFY_SECONDS_MAX = 20.0
PICTURE = "control-tower.png"


class DemoRun(Value, frozen=True, gc=False):
    """What a demo led to, for the summary and the report. `picture`: of the control tower, where a Chromium is."""

    world: World
    imported: ImportReport
    finished: bool
    seconds: float
    verdict: Verdict
    trial_balance_minor: int
    picture: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The report. Amounts are minor units, summed over the currencies that `currencies` lists one by one."""
        progress = self.world.progress
        invoiced, applied = progress.invoiced_minor(), progress.applied_minor
        return {
            "orders": progress.placed,
            "invoices": len(progress.invoices),
            "payments": len(progress.received),
            "refused": self.imported.refused.total(),
            "seconds": round(self.seconds, 2),
            "currencies": {
                currency: {"invoiced_minor": invoiced[currency], "cash_applied_minor": applied[currency]}
                for currency in sorted(invoiced | applied)
            },
            "invoiced_minor": invoiced.total(),
            "cash_applied_minor": applied.total(),
            "trial_balance_minor": self.trial_balance_minor,
            "verified": self.verdict.ok,
        }


def demo(
    orders: Annotated[
        int | None, typer.Option(min=1, help="How many of the real orders; more than there are: in several rounds.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the figures there.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards.")] = False,
    broker: WithBroker = BrokerChoice.EMBEDDED,
    time_out: Annotated[float, typer.Option(min=1, help="Seconds for all orders to reach their end.")] = SECONDS_MAX,
    as_json: AsJson = False,
) -> None:
    """Take real orders from placed to paid, with payments of every kind, and verify the result.

    The stack is its own, in a `demo` directory of the home that is emptied first, and ends with the command.
    """
    with explained():
        options = StackOptions(home=default_home() / "demo", broker=broker.value)
    pictures = report.parent if report is not None else options.home / "report"
    done, state = run(lambda: _demo(options, orders, keep, time_out, pictures / PICTURE))
    report_to(report, msgspec.json.format(msgspec.json.encode(done.as_json()), indent=2))
    if as_json:
        print_json(done.as_json())
    else:
        _summarise(done)
        if keep:
            out.print(f"\nAll of it runs on; `{command('down', home=state.home)}` ends it:", markup=False)
            show(state)
        else:
            chosen = {"orders": orders, "report": report, "broker": options.broker, "time-out": f"{time_out:g}"}
            out.print(f"\nTo look around: {' or '.join(around(state.home, chosen))}.", markup=False)
    if not done.finished:
        fail(f"not all orders reached their end in {time_out:.0f} s: {done.world.progress.missing()}", Exit.WRONG)
    if not done.verdict.ok:
        fail("the verification failed", Exit.WRONG)


def around(home: str, chosen: Mapping[str, Any]) -> list[str]:
    """How to see what a demo that is over left in its home, or have it again and keep it; with what was chosen.

    `chosen`: option of the demo → its value, also those that nobody gave.
    """
    usual = {"orders": None, "report": None, "broker": BrokerChoice.EMBEDDED.value, "time-out": f"{SECONDS_MAX:g}"}
    given = {option: value for option, value in chosen.items() if value != usual[option]}
    broker = {option: value for option, value in given.items() if option == "broker"}
    again = command("demo", "--keep", home=os.environ.get("O2C_HOME", ""), **given)
    return [f"`{command('up', home=home, **broker)}`", f"`{again}`"]


def command(*words: str, home: str, **options: Any) -> str:
    """An `o2c` command as one types it, in this home ("": the usual one)."""
    typed = [*words, *(word for option, value in options.items() for word in (f"--{option}", f"{value}"))]
    return f"{f'O2C_HOME={shlex.quote(home)} ' if home else ''}{program()} {shlex.join(typed)}"


def program() -> str:
    """`o2c` as one types it here: its path, where the shell would not find it (`make demo` changes no PATH)."""
    if which("o2c"):
        return "o2c"
    path, here = Path(sys.executable).with_name("o2c"), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def load(wanted: int | None) -> tuple[list[Customer], list[Order], ImportReport]:
    """The shipped orders, at most `wanted`. Beyond their number they are ordered again, under ids of their own."""
    imported = ImportReport()
    with open_text(demo_orders()) as text:
        messages = list(read_orders(text, imported))
    customers = [message for message in messages if isinstance(message, Customer)]
    orders = [message for message in messages if isinstance(message, Order)]
    return customers, orders if wanted is None else list(islice(_rounds(orders), wanted)), imported


def _rounds(orders: list[Order]) -> Iterable[Order]:
    yield from orders
    for number in count(2):
        for order in orders:
            yield evolved(order, order_id=f"{order.order_id}-{number}")


async def _demo(
    options: StackOptions, wanted: int | None, keep: bool, seconds_max: float, picture: Path
) -> tuple[DemoRun, StackState]:
    started = time.monotonic()
    customers, orders, imported = load(wanted)
    world = World(customers, orders, Course(SEED, DEMO_SHARES, LATE_BP, IN_FLIGHT_MAX))
    async with fresh_stack(options, keep=keep) as state:
        where = addresses_of(state)
        async with Services(where.http_urls) as services:
            world.clerk = Clerk(services)
            finished = await _play(world, where, seconds_max)
        # Without the end of the orders there is nothing to wait for: what is stuck stays so.
        verdict = await verifying.checked(where, VERIFY_SECONDS_MAX if finished else 0)
        balance = await trial_balance(where.database_of)
        seconds = time.monotonic() - started
        taken = await asyncio.to_thread(take_picture, f"{where.http_urls['analytics']}/tower", picture)
    return DemoRun(world, imported, finished, seconds, verdict, balance, picture if taken else None), state


async def _play(world: World, where: Addresses, seconds_max: float) -> bool:
    total, progress = len(world.orders), world.progress
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as bars:
        placed, invoiced, finished = (bars.add_task(name, total=total) for name in ("placed", "invoiced", "finished"))

        def watch() -> None:
            bars.update(placed, completed=progress.placed)
            bars.update(invoiced, completed=len(progress.final))
            bars.update(finished, completed=progress.finished)

        return await world.run(where.kafka_servers, seconds_max=seconds_max, watch=watch)


def _summarise(done: DemoRun) -> None:
    figures, progress = done.as_json(), done.world.progress
    out.print(f"\n[bold]{figures['orders']} real orders of {done.imported.customers} customers went to cash[/]")
    listing = Table.grid(padding=(0, 2))
    rows = done.imported
    listing.add_row("rows of the file", f"{rows.rows}: {rows.taken} taken, {figures['refused']} refused with a reason")
    listing.add_row("invoices", str(figures["invoices"]))
    listing.add_row("payments", f"{figures['payments']}, generated: {_kinds(done.world)}")
    listing.add_row("waited for credit", f"{len(progress.held)} orders")
    for currency, sums in figures["currencies"].items():
        listing.add_row(f"invoiced {currency}", grouped_from_minor(sums["invoiced_minor"], currency))
        listing.add_row(f"cash applied {currency}", grouped_from_minor(sums["cash_applied_minor"], currency))
    listing.add_row("trial balance", f"{figures['trial_balance_minor']} (debits − credits)")
    listing.add_row("seconds", f"{figures['seconds']}")
    out.print(listing)
    verifying.show(done.verdict)
    if done.picture is not None:
        out.print(f"A picture of the control tower: {done.picture}", soft_wrap=True)


def _kinds(world: World) -> str:
    kinds = Counter(world.plans.values())
    return ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in kinds.most_common())
