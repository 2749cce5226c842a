"""A way to a server that can be made to hang: connections stay open, and nothing comes through any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Way:
    """`url` leads to the server; from `hang()` on it leads nowhere."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._passing = asyncio.Event()
        self._passing.set()

    def hang(self) -> None:
        """Let nothing through, in either direction, and close nothing."""
        self._passing.clear()

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        await self._passing.wait()
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def way_to(host: str, port: int) -> AsyncIterator[tuple[Way, int]]:
    """A way, and the port on loopback at which it begins."""
    way = Way(host, port)
    connections: set[asyncio.Task[None]] = set()

    def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(way.lead(reader, writer)))

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    try:
        yield way, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
