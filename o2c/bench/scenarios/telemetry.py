"""What telemetry costs: the whole cycle with traces, a collector and somebody who scrapes, and without, in turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import httpx

from o2c.bench.asked import SEED, Asked
from o2c.bench.orders import customers, generate
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.outside.world import World

ORDERS = 4_000
TRACE_RATIO = 0.01
SCRAPE_SECONDS = 5.0
RATIO_MAX = 1.05
TURNS = ("off", "on", "on", "off")
"""The machine's pace changes slowly: so it falls on both alike."""


async def telemetry(asked: Asked) -> Outcome:
    """CPU per order with telemetry (1 % of the traces sampled, metrics asked every 5 s), times that without."""
    measured: dict[str, list[Measured]] = {"off": [], "on": []}
    async with sink() as collector:
        for number, turn in enumerate(TURNS, 1):
            environment = {"O2C_OTLP_ENDPOINT": collector.endpoint if turn == "on" else ""}
            environment |= {"O2C_TRACE_RATIO": str(TRACE_RATIO)}
            options = replace(asked.options, environment={**asked.options.environment, **environment})
            measured[turn].append(
                await _carried(replace(asked, options=options), f"{turn}, turn {number}", turn == "on")
            )
    return compared(measured, collector.taken)


async def _carried(asked: Asked, what: str, scraped: bool) -> Measured:
    orders = asked.orders or ORDERS
    world = World(customers(orders), generate(orders, seed=SEED), asked.course())
    async with rig(asked.options, asked.watch) as stack, scraping(stack) if scraped else nullcontext():
        return await stack.carry(world, what)


def compared(measured: dict[str, list[Measured]], taken: int) -> Outcome:
    """The turns beside each other. `taken`: requests that the collector had."""
    cpu = {turn: sum(each.cpu_ms_per_order for each in of) / len(of) for turn, of in measured.items()}
    pace = {turn: sum(each.orders_per_second for each in of) / len(of) for turn, of in measured.items()}
    ratio = round(cpu["on"] / max(cpu["off"], 1e-9), 3)
    figures: dict[str, Any] = {
        "orders": sum(each.orders for of in measured.values() for each in of),
        "trace_ratio": TRACE_RATIO,
        "requests_to_collector": taken,
        "cpu_ms_per_order": {turn: round(ms, 3) for turn, ms in cpu.items()},
        "orders_per_second": {turn: round(each, 1) for turn, each in pace.items()},
        "cpu_ms_per_order_of_turns": {
            turn: {f"turn {n}": round(each.cpu_ms_per_order, 3) for n, each in enumerate(of, 1)}
            for turn, of in measured.items()
        },
        "cpu_ratio": ratio,
    }
    missing = next((each.missing for of in measured.values() for each in of if each.missing), "")
    wrong = missing or ("" if taken else "nothing came to the collector")
    return Outcome(figures, (Floor("CPU per order, times that without", ratio, RATIO_MAX, at_most=True),), wrong)


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
