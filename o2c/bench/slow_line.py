"""A line to PostgreSQL that takes its time: a TCP proxy that hands everything on a little later, in both directions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from o2c.stack.ports import LOOPBACK


@asynccontextmanager
async def slow_line(port: int, seconds: float) -> AsyncIterator[int]:
    """The port of a proxy to this local port; every byte arrives so much later, however many are on their way."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_carry(reader, server_writer, seconds), _carry(server_reader, writer, seconds))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while data := await reader.read(1 << 18):
            loop.call_later(seconds, _write, writer, data)  # later calls never overtake earlier ones
        await asyncio.sleep(seconds)
    writer.close()


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
