"""What a Kubernetes Service does, on loopback: one address, and behind it those pods that are ready.

As kube-proxy does, it chooses a pod for each new connection and never looks at it again: a connection to a pod that
shall go stays until one of its ends closes it, and whoever has it goes on asking that pod.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from o2c.stack.ports import LOOPBACK

PROPAGATION_SECONDS = 1.0
"""So long after a pod was deleted new connections still lead to it: until all nodes know."""
UNREADY_PERIOD_SECONDS = 1.0
"""A pod that is not ready yet is asked more often than its probe says, as the kubelet does."""


@dataclass(frozen=True)
class Probe:
    """The readiness probe of a container, with the fields of its manifest."""

    path: str
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> "Probe":
        """What the manifest of a `readinessProbe` says."""
        return cls(
            manifest["httpGet"]["path"],
            manifest["periodSeconds"],
            manifest["timeoutSeconds"],
            manifest["failureThreshold"],
        )


class ClusterService:
    """One Service. A pod is known by its port. `led`: how many connections each pod was given."""

    def __init__(self, name: str, probe: Probe) -> None:
        self.name, self._probe = name, probe
        self.led: Counter[int] = Counter()
        self._ready: list[int] = []
        self._probing: dict[int, asyncio.Task[None]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "ClusterService":
        self._server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [*self._probing.values(), *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Its address."""
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def add(self, pod: int) -> None:
        """From now on ask this pod whether it is ready; when it is, it gets connections."""
        self._probing[pod] = asyncio.create_task(self._watch(pod))

    async def delete(self, pod: int) -> None:
        """A pod is deleted: soon nothing new is led to it, whatever it says of itself."""
        self._probing.pop(pod).cancel()
        await asyncio.sleep(PROPAGATION_SECONDS)
        self._ready = [port for port in self._ready if port != pod]

    def leads_to(self, pod: int) -> bool:
        """Whether this pod gets connections."""
        return pod in self._ready

    async def _watch(self, pod: int) -> None:
        failures = 0
        while True:
            failures = 0 if await self._says_ready(pod) else failures + 1
            if not failures and pod not in self._ready:
                self._ready.append(pod)
            if failures >= self._probe.failure_threshold:
                self._ready = [port for port in self._ready if port != pod]
            await asyncio.sleep(self._probe.period_seconds if pod in self._ready else UNREADY_PERIOD_SECONDS)

    async def _says_ready(self, pod: int) -> bool:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=self._probe.timeout_seconds) as client:
            try:
                return (await client.get(f"http://{LOOPBACK}:{pod}{self._probe.path}")).is_success
            except httpx.HTTPError:
                return False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._lead(reader, writer)
        except asyncio.CancelledError:
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._ready:
            return writer.transport.abort()
        pod = self._ready.pop(0)
        self._ready.append(pod)
        self.led[pod] += 1
        try:
            pod_reader, pod_writer = await asyncio.open_connection(LOOPBACK, pod)
        except OSError:
            return writer.transport.abort()
        try:
            await asyncio.gather(_carry(reader, pod_writer), _carry(pod_reader, writer))
        except OSError:  # one end broke it off: the other shall see that, and no orderly end
            for each in (writer, pod_writer):
                each.transport.abort()
        finally:
            pod_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
