"""A rolling restart of all services, two replicas each, under load: as Kubernetes does it with our manifests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from o2c.stack import SERVICES
from o2c.stack.service_process import ServiceProcess
from tests.deploy.files import KUBERNETES, documents
from tests.faults.conftest import Shared
from tests.faults.harness import ORDERS, Case, System, case, until
from tests.faults.shop import Shop, WatchedServices
from tests.support.cluster_service import ClusterService, Probe
from tests.support.homes import temporary_home

pytestmark = pytest.mark.faults

_BASE = KUBERNETES / "base"
_POD = documents(_BASE / "service" / "deployment.yaml")[0]["spec"]["template"]["spec"]
_CONTAINER = _POD["containers"][0]
PRE_STOP_SECONDS = float(_CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"])
GRACE_SECONDS = float(_POD["terminationGracePeriodSeconds"])
PROBE = Probe.of(_CONTAINER["readinessProbe"])
SETTINGS = ("O2C_SHUTDOWN_SECONDS", "O2C_HTTP_LINGER_SECONDS")
"""What the manifests say of stopping; the other settings of a cluster do not fit one machine."""
READY_SECONDS_MAX = 60.0
KAFKA_ORDERS_PER_SECOND = 15.0
"""So that about 1,000 of them come as long as the restart takes."""


@dataclass
class Pod:
    """One replica of a service, and the Service that leads to it. `stop` and `start` its process."""

    service: ClusterService
    process: ServiceProcess
    stop: Callable[[], Awaitable[None]]
    start: Callable[[], Awaitable[None]]

    async def join(self) -> None:
        """Wait until the Service leads to it."""
        self.service.add(self.process.port)
        await until(self._led_to, f"{self.process.name} in its Service", READY_SECONDS_MAX)

    async def _led_to(self) -> bool:
        return self.service.leads_to(self.process.port)

    async def replace(self) -> str:
        """Delete it and start another in its place, ready when this returns; what was done, for people.

        The endpoint goes and the container is stopped at the same time, and nobody waits for the other: preStop, then
        SIGTERM, and at the end of the grace period SIGKILL, which must not be needed.
        """
        endpoint = asyncio.create_task(self.service.delete(self.process.port))
        await asyncio.sleep(PRE_STOP_SECONDS)
        told = time.monotonic()
        self.process.stop_seconds_max = GRACE_SECONDS - PRE_STOP_SECONDS
        await self.stop()
        assert await self.process.wait() == 0, f"{self.process.name} did not end by itself"
        ended = time.monotonic()
        await endpoint
        await self.start()
        await self.join()
        back = time.monotonic()
        return f"{self.process.name} ended {ended - told:.1f} s after SIGTERM, back after {back - ended:.1f} s more"


@dataclass
class Cluster:
    """The whole system with two replicas of each service, each pair behind a Service. `pods`: by service."""

    system: System
    pods: dict[str, list[Pod]]

    @property
    def urls(self) -> dict[str, str]:
        """The addresses of the Services."""
        return {name: pods[0].service.url for name, pods in self.pods.items()}


def _settings() -> dict[str, str]:
    lines = (_BASE / "settings.env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name in SETTINGS}


@asynccontextmanager
async def _cluster(broker: str) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        services = {name: await stack.enter_async_context(ClusterService(name, PROBE)) for name in SERVICES}
        urls = ",".join(f"{name}={service.url}" for name, service in services.items())
        home = stack.enter_context(temporary_home())
        environment = {**_settings(), "O2C_SERVICE_URLS": urls}
        system = await stack.enter_async_context(System.up(home, broker, environment=environment))
        second = await asyncio.gather(*(stack.enter_async_context(system.replica(name)) for name in SERVICES))
        pods = {
            name: [_first_pod(system, service), Pod(service, process, process.stop, process.start)]
            for (name, service), process in zip(services.items(), second, strict=True)
        }
        await asyncio.gather(*(pod.join() for each in pods.values() for pod in each))
        yield Cluster(system, pods)


def _first_pod(system: System, service: ClusterService) -> Pod:
    stack, name = system.stack, service.name
    return Pod(service, stack.services[name], lambda: stack.stop(name), lambda: stack.start(name))


async def _roll(run: Case, pods: list[Pod]) -> None:
    """One replica after the other, as `maxUnavailable` and the disruption budget have it."""
    for pod in pods:
        run.note(await pod.replace())


async def test_a_rolling_restart_under_load_loses_doubles_and_refuses_nothing(shared: Shared) -> None:
    await shared.close()  # the machine is for one system
    async with _cluster(shared.broker) as cluster, WatchedServices(cluster.urls) as watched:
        system = replace(cluster.system, services=watched)
        posted = ORDERS // 2
        async with case(system, "rolling", posted=posted, rate=KAFKA_ORDERS_PER_SECOND) as run:
            await run.reached(0.01)
            shop = Shop(cluster.urls, run.outside.posted, run.random)
            try:
                # All services at once, as `kubectl apply -k services` rolls them out.
                await asyncio.gather(*(_roll(run, pods) for pods in cluster.pods.values()))
                run.note(f"all restarted; {len(shop.taken)} of {posted} orders posted until then")
                await shop.close()
            finally:
                await shop.stop()
            run.note(f"{sum(shop.requests.values()) + watched.requests} requests: {dict(shop.requests)}")
            failed = shop.failed + watched.failed
            assert not failed, f"{len(failed)} requests failed: {failed[:20]}"
            assert all(len(pod.service.led) == 2 and min(pod.service.led.values()) > 1 for pod in _all(cluster))
            assert sorted(shop.taken) == sorted(order.order_id for order in run.outside.posted.values())
            await run.end()
        placed = await system.sql(
            "order",
            "SELECT originator_id, count(*) FROM events WHERE topic = 'order.OrderPlaced' AND originator_id = ANY($1) "
            "GROUP BY 1",
            [f"order-{order_id}" for order_id in shop.taken],
        )
        assert dict(placed) == {f"order-{order_id}": 1 for order_id in shop.taken}


def _all(cluster: Cluster) -> list[Pod]:
    return [pod for pods in cluster.pods.values() for pod in pods]
