"""What telemetry costs: the whole cycle with traces, a collector and somebody who scrapes, and without, in turns."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from o2c.bench.asked import Asked
from o2c.bench.orders import lasting
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.bench.turns import beside, carried, in_turns
from o2c.stack import Stack, StackOptions

WINDOW = 3_000
FIRST = 1_000
"""Orders that both carry before the first turn, for connections and caches."""
TRACE_RATIO = 0.01
SCRAPE_SECONDS = 5.0
RATIO_MAX = 1.05


async def telemetry(asked: Asked) -> Outcome:
    """CPU per order with telemetry (1 % of the traces sampled, metrics asked every 5 s), times that without."""
    mix = lasting()
    async with sink() as collector:
        telling = _with(asked.options, collector.endpoint)
        silent = replace(_with(asked.options, ""), home=asked.options.home / "off")
        async with rig(telling, asked.watch) as on, rig(silent, asked.watch) as off, scraping(on):
            stacks = {"off": off, "on": on}
            for turn, stack in stacks.items():
                await carried(stack, asked, mix, FIRST, 1, f"{turn}, the first {FIRST:,} orders", new=True)
            measured = await in_turns(stacks, asked, mix, asked.orders or WINDOW)
    Stack.wipe(silent.home)
    return compared(measured, collector.taken)


def _with(options: StackOptions, endpoint: str) -> StackOptions:
    """The options of a stack whose services tell this collector; none of them without one."""
    return replace(
        options,
        environment={**options.environment, "O2C_OTLP_ENDPOINT": endpoint, "O2C_TRACE_RATIO": str(TRACE_RATIO)},
    )


def compared(measured: Mapping[str, Sequence[Measured]], taken: int) -> Outcome:
    """The turns beside each other. `taken`: requests that the collector had."""
    figures = {
        **beside(measured, "on", "off"),
        "trace_ratio": TRACE_RATIO,
        "requests_to_collector": taken,
    }
    missing = next((each.missing for of in measured.values() for each in of if each.missing), "")
    wrong = missing or ("" if taken else "nothing came to the collector")
    floor = Floor("CPU per order, times that without", figures["cpu_ratio"], RATIO_MAX, at_most=True)
    return Outcome(figures, (floor,), wrong)


@asynccontextmanager
async def scraping(stack: Rig) -> AsyncIterator[None]:
    """Somebody asks every service for its metrics, again and again, for the length of a block."""

    async def scrape() -> None:
        async with httpx.AsyncClient(timeout=SCRAPE_SECONDS, trust_env=False) as client:
            while True:
                for url in stack.where.http_urls.values():
                    (await client.get(f"{url}/metrics")).raise_for_status()
                await asyncio.sleep(SCRAPE_SECONDS)

    task = asyncio.create_task(scrape())
    try:
        yield
    finally:
        task.cancel()
        ended = (await asyncio.gather(task, return_exceptions=True))[0]
        if not isinstance(ended, asyncio.CancelledError):
            raise RuntimeError(f"metrics could not be asked for: {ended}")


class Sink:
    """A collector that takes whatever comes and keeps nothing. `taken`: how many requests there were."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.taken = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its other end closes it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
                await reader.readexactly(int(fields[b"content-length"]))
                self.taken += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the service is gone
        finally:
            writer.close()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """A collector on loopback for the length of a block."""
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    sink.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield sink
    finally:
        server.close()
