"""`o2c bench`: what the system can do on this machine, figure by figure, beside the floors it must keep."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from o2c.bench.asked import IN_FLIGHT, Asked
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.scenarios import FOR_KAFKA, SCENARIOS, scenario
from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run, table
from o2c.commands.stack import BrokerChoice, WithBroker
from o2c.commands.stacking import report_to
from o2c.stack import Stack, StackOptions, default_home

ALL = "all"

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SCENARIO...]",
        help=f"Of {', '.join(SCENARIOS)}; or {ALL}, without {' and '.join(sorted(FOR_KAFKA))} unless on Apache Kafka. "
        "Default: cycle.",
    ),
]


def bench(
    scenarios: Names = None,
    orders: Annotated[int | None, typer.Option(min=1, help="Orders to measure; default: the scenario's own.")] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, help=f"Orders on their way at once, at most; at the peak {IN_FLIGHT}.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, help="Orders per second over Kafka, 0: as fast as --in-flight allows; http posts four times as many."
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="How long the sustained load lasts.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the figures there.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a floor is missed, too.")] = False,
    broker: WithBroker = BrokerChoice.EMBEDDED,
    as_json: AsJson = False,
) -> None:
    """Measure what the system does on this machine: by default the whole cycle beside the bare chain.

    Each scenario has a stack of its own, in a `bench` directory of the home that is emptied before and after.

    Exit code 1: what was measured means nothing, since orders were not carried to their end; or, of several scenarios,
    one could not be measured.
    """
    names = _chosen(scenarios or ["cycle"], broker)
    with explained():
        options = StackOptions(home=default_home() / "bench", broker=broker.value)
    begun = time.monotonic()
    done: dict[str, Outcome] = {}
    for name in names:
        started = time.monotonic()
        with Watching(name) as watching:
            measure, asked = scenario(name), Asked(options, watching, orders, in_flight, rate, minutes)
            try:
                done[name] = run(partial(measure, asked))
            except typer.Exit:  # the reason is told
                if len(names) == 1:
                    raise
                done[name] = Outcome({}, wrong="not measured")  # the others need not suffer
        if not as_json:
            _show(name, done[name], time.monotonic() - started)
        # After every scenario: the figures so far are there even if the next one fails.
        content = _report(done, broker.value, time.monotonic() - begun)
        report_to(report, msgspec.json.format(msgspec.json.encode(content), indent=2))
    if as_json:
        print_json(content)
    else:
        out.print(f"{len(done)} measured on the {broker.value} broker in {time.monotonic() - begun:.0f} s")
    _end(done, options, strict)


def _chosen(given: Sequence[str], broker: BrokerChoice) -> list[str]:
    unknown = sorted(set(given) - {*SCENARIOS, ALL})
    if unknown:
        fail(f"unknown scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)} and {ALL}", Exit.USAGE)
    if ALL not in given:
        return list(dict.fromkeys(given))
    return [name for name in SCENARIOS if broker is BrokerChoice.KAFKA or name not in FOR_KAFKA]


def _report(done: Mapping[str, Outcome], broker: str, seconds: float) -> dict[str, Any]:
    """One scenario: its figures. Several: those of each, by name."""
    run_itself = {"broker": broker, "total_seconds": round(seconds, 1)}
    if len(done) == 1:
        (name,) = done
        return {"scenario": name, **done[name].as_json(), **run_itself}
    return {"scenarios": {name: outcome.as_json() for name, outcome in done.items()}, **run_itself}


def _end(done: Mapping[str, Outcome], options: StackOptions, strict: bool) -> None:
    wrong = [f"{name}: {outcome.wrong}" for name, outcome in done.items() if outcome.wrong]
    if wrong:
        fail("; ".join(wrong), Exit.WRONG)  # the stack's logs and stores stay, to look for the reason
    with explained():
        Stack.wipe(options.home)
    missed = [f"{name}: {floor.figure} {floor.value:g}, wanted {floor.sentence}" for name, floor in _missed(done)]
    if strict and missed:
        fail("; ".join(missed), Exit.WRONG)


def _missed(done: Mapping[str, Outcome]) -> list[tuple[str, Floor]]:
    return [(name, floor) for name, outcome in done.items() for floor in outcome.floors if not floor.kept]


# ---- what people see


class Watching:
    """Shows on stderr what a scenario is doing: one line or bar per part of it."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=err)
        self._name = name
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """A part goes on; `total` 0: it cannot be counted."""
        if not total:
            self._bars.console.print(f"{self._name}: {what}", highlight=False)
            return
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = self._bars.add_task(f"{self._name}: {what}", total=total)
        self._bars.update(task, completed=done)


def _show(name: str, outcome: Outcome, seconds: float) -> None:
    out.print(f"\n[bold]{name}[/] ({seconds:.0f} s)")
    listing = Table.grid(padding=(0, 2))
    tables: dict[str, Mapping[str, Any]] = {}
    for key, value in outcome.figures.items():
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            tables[key] = value
        elif isinstance(value, Mapping):
            listing.add_row(_words(key), "   ".join(f"{each} {shown}" for each, shown in value.items()))
        else:
            listing.add_row(_words(key), str(value))
    for floor in outcome.floors:
        kept = "[green]kept[/]" if floor.kept else "[red]missed[/]"
        listing.add_row(floor.figure, f"{floor.value:g}, wanted {floor.sentence}: {kept}")
    if outcome.wrong:
        listing.add_row("[bold red]wrong[/]", escape(outcome.wrong))
    out.print(listing)
    for key, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        shown = table(_words(key), *map(_words, columns))
        for row_name, row in rows.items():
            shown.add_row(row_name, *(str(row.get(column, "")) for column in columns))
        out.print(shown)


def _words(key: str) -> str:
    return key.replace("_", " ")
