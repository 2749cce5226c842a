"""The HTTP server of a process: it answers from the first moment, and closes without losing anybody's request."""

import asyncio
import math
import socket
import time
from contextlib import nullcontext
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE_SECONDS = 75
"""A connection may be idle for so long: longer than proxies keep theirs (nginx: 60 s), so that they close it, not we.
Who closes an idle connection may do so while a request is on its way to it."""
REQUEST_SECONDS_MAX = 30
"""From the first of a request, or from connecting, until all of it is there: less holds one of 2,000 places."""
_LOOK_SECONDS = 0.05


class HttpServer:
    """Serves one application at one address. `port`: where it listens, once started."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app, self._address = app, (host, port)
        self._config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=_InTime,  # httptools drops bodies behind `Upgrade`, and takes heads of any size
            lifespan="off",
            access_log=False,
            proxy_headers=False,  # nobody here asks who called
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            limit_concurrency=2_000,
            backlog=1_000,
        )
        self._server = _Server(self._config)
        self._serving: asyncio.Task[None] | None = None
        self._leaving = False
        self.port = 0

    def start(self) -> None:
        """Listen. OSError when the address is taken."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # for callers that go without a word
        listening.bind(self._address)
        self.port = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def close(self, seconds_max: float, linger_seconds: float = 0.0) -> None:
        """Send the callers elsewhere, answer what they have asked, and close; what takes longer is cut off.

        A caller with an open connection does not know yet that it shall go elsewhere, and may ask once more. So every
        answer says that it is the last on its connection, and a connection that waits for its next request is closed
        only when none has come for `linger_seconds`. New connections are taken until then: whoever distributes them
        may not know yet, either.
        """
        end = time.monotonic() + seconds_max
        self._leaving = True
        until = min(time.monotonic() + linger_seconds, end)
        while self._server.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(_LOOK_SECONDS)
        self._config.timeout_graceful_shutdown = math.ceil(max(end - time.monotonic(), 0))
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=max(end - time.monotonic(), 0))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if self._leaving and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, answer)


class _Server(uvicorn.Server):
    """Leaves signals to us: they mean an orderly stop of the whole process, not of HTTP alone."""

    def capture_signals(self) -> Any:
        return nullcontext()


class _InTime(H11Protocol):
    """Closes a connection on which no whole request comes in time. uvicorn's own limit begins with the first answer."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # which takes up a request that came along with the one before
        if self.cycle.more_body and not self.cycle.response_complete:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._forget()  # it is there, and is being answered
        elif self._late is None:
            self._late = self.loop.call_later(REQUEST_SECONDS_MAX, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
