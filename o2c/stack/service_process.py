"""One of our services as a child process: `o2c run NAME` on a given port, ready when its health check says so."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from o2c.stack.ports import LOOPBACK, listens
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
        return Launch(argv=self.argv, log=self.log, environment={**os.environ, **own, **self.environment})

    async def ready(self) -> bool:
        """Whether it says so itself."""
        if not await listens(self.port):
            return False
        # No proxy of a developer's environment knows our ports, and no certificates are needed for plain HTTP.
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS_MAX, trust_env=False, verify=False) as client:
            try:
                return (await client.get(f"{self.url}/health/ready")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False
