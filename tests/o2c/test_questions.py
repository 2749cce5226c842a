"""The bench's callers: pages asked for at a rate, of each replica in turn, for as long as a service is measured."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from o2c.bench.questions import PAGES, Answers, asking
from o2c.stack import SERVICES
from tests.support.serving import Handler, serving


@contextmanager
def pages(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """The URL of a service that keeps its connections, and what it was asked for."""
    asked: list[str] = []

    class Answering(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(status, b"{}")

    with serving(Answering) as url:
        yield url, asked


def test_every_service_has_a_page_that_is_asked_for() -> None:
    assert set(PAGES) == set(SERVICES)


async def test_each_replica_is_asked_for_its_share_until_the_block_ends() -> None:
    answers = Answers()
    with pages() as (one, asked_of_one), pages() as (two, asked_of_two):
        async with asking("fulfillment", [one, two], 200.0, 60.0, answers) as ask:
            await asyncio.sleep(0.05)
            assert not asked_of_one  # nobody asks before the service is awake
            ask.go()
            async with asyncio.timeout(30):
                while len(asked_of_one) + len(asked_of_two) < 100:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # what was on its way arrives
        asked = [len(asked_of_one), len(asked_of_two)]
        await asyncio.sleep(0.2)
        assert [len(asked_of_one), len(asked_of_two)] == asked  # and nobody afterwards
    assert {*asked_of_one, *asked_of_two} == {"/stock?limit=20"}
    assert min(asked) > 30
    assert 0 < len(answers.milliseconds) == answers.statuses["200"] <= sum(asked)
    assert answers.refused == {}


async def test_what_was_due_when_the_work_was_done_does_not_count() -> None:
    answers = Answers()
    with pages() as (url, asked):
        async with asking("credit", [url], 200.0, 60.0, answers) as ask, asyncio.timeout(30):
            begun = time.perf_counter()
            ask.go()
            while not asked:
                await asyncio.sleep(0.01)
            ask.count_until = time.perf_counter() + 0.5
            due = 1 + int(200 * (ask.count_until - begun))  # at most, and at least those of half a second
            while len(asked) < due + 40:
                await asyncio.sleep(0.01)
    assert 100 <= len(answers.milliseconds) <= due < answers.statuses["200"]


async def test_what_is_no_page_is_told() -> None:
    answers = Answers()
    with pages(503) as (url, asked):
        async with asking("credit", [url], 200.0, 60.0, answers) as ask, asyncio.timeout(30):
            ask.go()
            while len(asked) < 100:
                await asyncio.sleep(0.01)
    assert set(answers.refused) == {"503"}


async def test_at_a_rate_of_nothing_nobody_is_asked_or_even_connected_to() -> None:
    answers = Answers()
    async with asking("order", ["http://127.0.0.1:1"], 0.0, 60.0, answers) as ask:
        ask.go()
    assert answers == Answers()
