"""One of our services as a child process: `o2c run NAME` on a given port, ready when its health check says so."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from o2c.stack.ports import LOOPBACK
from o2c.stack.processes import Launch, Server

_ANSWER_SECONDS_MAX = 2.0


@dataclass
class ServiceProcess(Server):
    """A process that answers `GET /health/ready` with 200 once it does its work."""

    argv: tuple[str, ...] = field(kw_only=True)
    environment: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://{LOOPBACK}:{self.port}"

    def launch(self) -> Launch:
        """With our own environment, where it listens, and what this stack says on top."""
        own = {"O2C_HTTP_HOST": LOOPBACK, "O2C_HTTP_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        environment = {**os.environ, **own, **self.environment}
        return Launch(argv=self.argv, log=self.log, environment=environment, niceness=self.niceness)

    async def ready(self) -> bool:
        """Whether it says so itself."""
        return await asyncio.to_thread(self._says_ready)

    def _says_ready(self) -> bool:
        # Asked often while everything starts and CPU is short: a client for all purposes costs ten times as much.
        connection = HTTPConnection(LOOPBACK, self.port, timeout=_ANSWER_SECONDS_MAX)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
