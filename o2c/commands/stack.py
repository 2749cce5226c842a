"""`o2c up`, `down`, `run`, `config`: the stack on this machine, and single services as an orchestrator runs them."""

import asyncio
import gc
import importlib
import signal
from enum import StrEnum
from typing import Annotated, Any

import typer

from o2c.commands.output import AsJson, Exit, err, explained, fail, out, print_json, run, table
from o2c.environment import settings
from o2c.stack import SERVICES, Stack, StackOptions, StackState, default_home
from shared.settings import Settings


class BrokerChoice(StrEnum):
    """Which broker the stack has."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


PortBase = Annotated[
    int | None, typer.Option(min=1024, max=65_000, help="Fix all ports above this one instead of taking free ones.")
]
WithBroker = Annotated[
    BrokerChoice, typer.Option(help="embedded: in memory, starts at once; kafka: Apache Kafka, needs Java 17.")
]

Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="SERVICE", help="Leave this service down, to restore its database. Repeatable."),
]


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is up.")] = False,
    port_base: PortBase = None,
    broker: WithBroker = BrokerChoice.EMBEDDED,
    without: Without = None,
) -> None:
    """Start PostgreSQL, a broker and all services here, until Ctrl-C."""
    left_out = _known(without or [])
    with explained():
        services = tuple(name for name in SERVICES if name not in left_out)
        options = StackOptions(home=default_home(), broker=broker.value, port_base=port_base, services=services)
    if detach:
        show(run(lambda: Stack.detach(options)))
        out.print(f"Everything runs from {options.home.absolute()}; `o2c down` ends it.")
    else:
        run(lambda: _until_asked(options))


def _known(services: list[str]) -> list[str]:
    """These; wrong usage if there is one that does not exist."""
    unknown = sorted(set(services) - set(SERVICES))
    if unknown:
        fail(f"unknown service {', '.join(unknown)}; there are {', '.join(SERVICES)}", Exit.USAGE)
    return services


def show(state: StackState) -> None:
    """The addresses of what runs."""
    listing = table("what", "where")
    for name, url in state.http_urls.items():
        listing.add_row(name, f"{url}/docs")
    if "analytics" in state.http_urls:
        listing.add_row("control tower", f"{state.http_urls['analytics']}/tower")
    listing.add_row("PostgreSQL", state.database_url)
    listing.add_row("Kafka", f"{state.kafka_servers} ({state.broker})")
    out.print(listing)


def ready(name: str, seconds: float) -> None:
    """Say that a part of the stack is up."""
    err.print(f"{name} ready in {seconds:.1f} s", highlight=False)


async def _until_asked(options: StackOptions) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    rising = asyncio.create_task(Stack.up(options, ready))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    asking = asyncio.create_task(asked.wait())
    await asyncio.wait((rising, asking), return_when=asyncio.FIRST_COMPLETED)
    if not rising.done():
        rising.cancel()
        await asyncio.gather(rising, return_exceptions=True)
        return
    async with rising.result() as stack:
        show(stack.snapshot())
        out.print("Ctrl-C ends it; data stays.")
        await asking
        err.print("stopping")


def down() -> None:
    """Stop the stack of this home; data stays."""
    if run(Stack.down):
        out.print("The stack is down.")
    else:
        out.print(f"Nothing was up in {default_home().absolute()}.")


def run_services(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE...", help=f"Of {', '.join(SERVICES)}.")],
) -> None:
    """Run services in the foreground until SIGTERM, with the settings of the environment (see `o2c config`)."""
    _known(services)
    with explained():
        gc.disable()  # what is imported stays: looking through it again and again takes a tenth of a start
        try:
            from shared.frame.process import run_process

            makers = [importlib.import_module(f"services.{name}.app").service for name in services]
        finally:
            gc.enable()
        run_process(makers, settings())


def config(as_json: AsJson = False) -> None:
    """Print all settings as they are in this environment, without secrets."""
    with explained():
        own = settings()
    shown: dict[str, Any] = own.shown()
    if as_json:
        print_json(shown)
        return
    listing = table("variable", "value", "meaning")
    for name, value in shown.items():
        listing.add_row(f"O2C_{name.upper()}", str(value), Settings.model_fields[name].description or "")
    out.print(listing)
