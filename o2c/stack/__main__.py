"""The owner of a detached stack: brings it up, keeps it running, takes it down on SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from o2c.stack.errors import StackError
from o2c.stack.stack import Stack, StackOptions


def main() -> int:
    """Exit status 0 after a clean end, 1 when the stack could not come up."""
    try:
        asyncio.run(_own(_options()))
    except StackError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _options() -> StackOptions:
    parser = argparse.ArgumentParser(prog="python -m o2c.stack", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--services", default="", help="comma separated")
    parser.add_argument("--port-base", type=int)
    parser.add_argument("--service-seconds-max", type=float, default=StackOptions.service_seconds_max)
    given = parser.parse_args()
    return StackOptions(
        home=given.home,
        broker=given.broker,
        services=tuple(filter(None, given.services.split(","))),
        port_base=given.port_base,
        service_seconds_max=given.service_seconds_max,
    )


async def _own(options: StackOptions) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    rising = asyncio.create_task(Stack.up(options, _say))
    asking = asyncio.create_task(asked.wait())
    await asyncio.wait((rising, asking), return_when=asyncio.FIRST_COMPLETED)
    if not rising.done():
        rising.cancel()
        await asyncio.gather(rising, return_exceptions=True)
        return
    async with rising.result():
        await asked.wait()
    asking.cancel()


def _say(name: str, seconds: float) -> None:
    print(f"{name} ready in {seconds:.2f} s", flush=True)


sys.exit(main())
