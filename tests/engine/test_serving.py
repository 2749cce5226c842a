"""Servers are replaced one after the other, behind a Service as Kubernetes has it, while clients ask: none fails."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from o2c.stack.ports import LOOPBACK
from shared.frame import serving
from shared.frame.serving import HttpServer
from tests.support import cluster_service
from tests.support.cluster_service import ClusterService, Probe
from tests.support.waiting import until

PROBE = Probe("/", 0.05, 2, 3)
IDLE_SECONDS, LINGER_SECONDS = 0.2, 0.4
"""How long clients use an idle connection again, and how long servers wait for that."""
CLOSE_SECONDS_MAX = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_service, "PROPAGATION_SECONDS", 0.1)
    monkeypatch.setattr(cluster_service, "UNREADY_PERIOD_SECONDS", 0.02)


async def _slowly(request: Request) -> PlainTextResponse:
    await request.body()
    await asyncio.sleep(float(request.query_params.get("seconds", 0)))
    return PlainTextResponse("done")


def _server() -> HttpServer:
    server = HttpServer(Starlette(routes=[Route("/", _slowly, methods=["GET", "POST"])]), LOOPBACK, 0)
    server.start()
    return server


async def _ask(url: str, random: Random, answers: list[int], over: asyncio.Event) -> None:
    limits = httpx.Limits(keepalive_expiry=IDLE_SECONDS)
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20, limits=limits) as client:
        while not over.is_set():
            answers.append((await client.get(f"{url}/?seconds={random.uniform(0, 0.02)}")).status_code)
            await asyncio.sleep(random.uniform(0, 1.2 * IDLE_SECONDS))


async def test_servers_are_replaced_behind_a_service_and_no_request_fails() -> None:
    over, answers, random = asyncio.Event(), list[int](), Random(5)
    async with AsyncExitStack() as stack, ClusterService("it", PROBE) as service:
        servers = [_server(), _server()]
        for server in servers:
            service.add(server.port)
        await until(lambda: all(service.leads_to(server.port) for server in servers))
        asking = [asyncio.create_task(_ask(service.url, random, answers, over)) for _ in range(10)]
        stack.callback(lambda: [task.cancel() for task in asking])
        for old in servers[:]:
            new = _server()
            service.add(new.port)
            await until(lambda port=new.port: service.leads_to(port))
            asked = len(answers)
            await service.delete(old.port)
            await old.close(CLOSE_SECONDS_MAX, LINGER_SECONDS)
            await until(lambda asked=asked: len(answers) > asked + 50)
            servers.append(new)
        over.set()
        await asyncio.gather(*asking)
        assert set(answers) == {200}
        assert len(service.led) == 4
        assert all(service.led[server.port] for server in servers)
        await asyncio.gather(*(server.close(CLOSE_SECONDS_MAX) for server in servers[2:]))


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: it\r\n", b"POST / HTTP/1.1\r\nHost: it\r\nContent-Length: 9\r\n\r\n123"],
    ids=["nothing", "half a head", "half a body"],
)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
async def test_a_connection_whose_request_does_not_come_to_its_end_is_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, before: int
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS_MAX", 0.2)
    monkeypatch.setattr(serving, "KEEP_ALIVE_SECONDS", 1)
    server = _server()
    await until(lambda: server._server.started)
    reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
    for _ in range(before):
        writer.write(b"GET /?seconds=0.5 HTTP/1.1\r\nHost: it\r\n\r\n")  # what is being answered may take longer
        assert b"200 OK" in await reader.readuntil(b"done")
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    await server.close(CLOSE_SECONDS_MAX)


async def test_a_request_that_came_with_the_one_before_must_come_to_its_end_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS_MAX", 0.2)
    server = _server()
    await until(lambda: server._server.started)
    reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
    half = b"POST / HTTP/1.1\r\nHost: it\r\nContent-Length: 9\r\n\r\n123"
    writer.write(b"GET / HTTP/1.1\r\nHost: it\r\n\r\n" + half)
    assert await asyncio.wait_for(reader.read(), 20)
    assert reader.at_eof()
    writer.close()
    await server.close(CLOSE_SECONDS_MAX)
