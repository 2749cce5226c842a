"""Live updates: read once however many look, at a pace of their own, and ended when the service stops."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from services.analytics.pages import live as module
from services.analytics.pages.live import Live, Reading, Source
from services.analytics.pages.peers import PeerError
from shared.errors import UnavailableError
from tests.tower.given import GivenRows, GivenServices, GivenTower


def rendered(readings: Mapping[str, Reading]) -> Mapping[str, str]:
    """Each reading as a panel of its name."""
    return {name: f"{reading.value} {reading.problem}" for name, reading in readings.items()}


class Counter:
    """A source that counts how often it was read."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.reads, self.seconds = 0, seconds
        self.error: Exception | None = None

    async def read(self) -> int:
        self.reads += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.reads


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)


async def look(live: Live, panels: int) -> list[dict[str, str]]:
    """What a viewer gets, until so many changes came."""
    seen = []
    async for changed in live.updates():
        if changed:
            seen.append(changed)
        if len(seen) == panels:
            break
    return seen


async def test_many_viewers_cost_what_one_does() -> None:
    counter = Counter()
    live = Live([Source("n", counter.read, seconds=0.02)], rendered)
    seen = await asyncio.gather(*(look(live, 3) for _ in range(50)))
    assert all(len(each) == 3 for each in seen)
    assert counter.reads < 10
    await live.close()


async def test_nobody_looks_and_nothing_is_read() -> None:
    counter = Counter()
    live = Live([Source("n", counter.read, seconds=0.01)], rendered)
    updates = live.updates()
    await anext(updates)
    await updates.aclose()
    assert live.viewers == 0
    await asyncio.sleep(0.2)
    before = counter.reads
    await asyncio.sleep(0.2)
    assert counter.reads == before
    await live.close()


async def test_a_slow_source_is_read_less_often_and_one_at_a_time() -> None:
    slow, quick = Counter(seconds=0.1), Counter()
    live = Live([Source("slow", slow.read, seconds=0.01), Source("quick", quick.read, seconds=0.01)], rendered)
    watching = asyncio.create_task(look(live, 1_000))
    begun = time.monotonic()
    while quick.reads < 10:
        await asyncio.sleep(0.02)
    assert slow.reads <= 1 + (time.monotonic() - begun) / 1.9, "what takes 0.1 s is read every 2 s at most"
    watching.cancel()
    await live.close()


@pytest.mark.parametrize(("waits", "error"), [(True, None), (False, PeerError("order", 0, "does not answer"))])
async def test_waiting_for_who_does_not_answer_is_no_reason_to_look_away(
    monkeypatch: pytest.MonkeyPatch, waits: bool, error: Exception | None
) -> None:
    monkeypatch.setattr(module, "WAITED_SECONDS", 0.5)
    counter = Counter(seconds=0.1)
    counter.error = error
    source = Source("n", counter.read, seconds=0.01, waits=waits)
    await module._read(source)
    assert source.due_at - time.monotonic() <= 0.5


async def test_a_value_stays_beside_the_reason_why_there_is_no_newer_one() -> None:
    counter = Counter()
    live = Live([Source("n", counter.read, seconds=0.0)], rendered)
    assert await live.panels(1) == {"n": "1 "}
    counter.error = PeerError("order", 0, "order does not answer")
    await asyncio.sleep(0.02)
    for _ in range(20):
        if (shown := await live.panels(1)) != {"n": "1 "}:
            break
        await asyncio.sleep(0.02)
    assert shown == {"n": "1 order does not answer"}
    await live.close()


async def test_a_page_does_not_wait_for_ever_for_figures() -> None:
    live = Live([Source("n", Counter(seconds=60).read)], rendered)
    async with asyncio.timeout(5):
        assert await live.panels(0.05) == {"n": "None "}
        await live.close()


async def test_only_so_many_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VIEWERS_MAX", 1)
    live = Live([], rendered)
    live.admit()
    updates = live.updates()
    await anext(updates)
    with pytest.raises(UnavailableError):
        live.admit()
    await updates.aclose()
    live.admit()
    await live.close()


@pytest.fixture
def served() -> GivenTower:
    return GivenTower(GivenServices(), GivenRows())


async def _serve(given: GivenTower) -> tuple[uvicorn.Server, "asyncio.Task[Any]", str]:
    app = FastAPI()
    app.include_router(given.tower.routes(given.rows))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return server, task, f"http://127.0.0.1:{port}"


async def test_a_stop_of_the_service_ends_the_events_and_still_answers_whoever_asks(served: GivenTower) -> None:
    server, task, url = await _serve(served)
    lines: list[str] = []
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False, timeout=20) as client:
        async with client.stream("GET", f"{url}/tower/live") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                lines.append(line)
                if line == "event: services":
                    served.tower.end_updates()
        assert (await client.get(f"{url}/tower")).status_code == 200
        again = await client.get(f"{url}/tower/live")  # a browser that is refused does not ask again
        assert (again.status_code, again.text) == (200, "retry: 2000\n\n")
        await served.tower.close()
        server.should_exit = True
        await task
    assert "event: pulse" in lines
    assert all(line.partition(":")[0] in ("event", "data", "retry", "") for line in lines)


async def test_a_reader_who_leaves_is_forgotten(served: GivenTower) -> None:
    server, task, url = await _serve(served)
    live = served.tower._live
    assert live is not None
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False, timeout=20) as client:
        async with client.stream("GET", f"{url}/tower/live") as response:
            await anext(response.aiter_lines())
            while live.viewers != 1:
                await asyncio.sleep(0.01)
        while live.viewers:
            await asyncio.sleep(0.01)
        await served.tower.close()
        server.should_exit = True
        await task
