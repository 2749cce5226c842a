"""A store that hangs is said before a probe gives up waiting for the answer."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.connected.support_engine import Database, eventually, running
from tests.engine.toy import toy_service
from tests.support.hanging import way_to

pytestmark = pytest.mark.connected
NOBODY = "127.0.0.1:1"
SECONDS_MAX = 10  # for a loaded machine; without a bound it was 25 and more


async def test_a_store_that_hangs_is_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.frame.running.STORE_ANSWER_SECONDS_MAX", 0.3)
    server = urlsplit(database.server)
    assert server.hostname
    assert server.port
    async with way_to(server.hostname, server.port) as (way, port):
        url = database.server.replace(f":{server.port}", f":{port}")
        settings = replace(database, server=url).settings(NOBODY)
        async with running(toy_service(), settings, ready=False) as process:

            async def reached() -> bool:
                return process.port != 0 and "store" not in await process.missing()

            await eventually(reached)
            way.hang()
            for _ in range(12):  # more than the pool has connections: every probe leaves one waiting
                missing = await asyncio.wait_for(process.missing(), SECONDS_MAX)
                assert "store" in missing
