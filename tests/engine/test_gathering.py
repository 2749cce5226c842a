"""A small batch waits for more, a full one does not, and what is in hand is never lost on the way."""

from collections import deque
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from shared.eventsourced import gathering
from shared.eventsourced.gathering import ENOUGH, GATHER_MS_MAX, Gathering

PLACE = TopicPartition("o2c.order.events", 0)


class Client:
    """Answers polls as it is told to. `asked`: (time-out, most records) of each."""

    def __init__(self, *answers: Any) -> None:
        self._answers = deque(answers)
        self.asked: list[tuple[int, int]] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.asked.append((timeout_ms, max_records))
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return {PLACE: answer} if answer else {}


async def taken(client: Client, *, records_max: int = 1_000, gather_ms: int = 1) -> list[Any]:
    gathering = Gathering(most=lambda: records_max, poll_ms=250, gather_ms=gather_ms)
    return list(await gathering.take(client))


async def test_a_small_batch_takes_what_came_a_moment_later() -> None:
    client = Client(["a"], ["b", "c"])
    assert await taken(client) == ["a", "b", "c"]
    assert client.asked == [(250, 1_000), (0, 999)]


@pytest.mark.parametrize(
    ("first", "options"),
    [
        (["r"] * ENOUGH, {}),
        (["r"] * 10, {"records_max": 10}),
        (["r"], {"gather_ms": 0}),
        ([], {}),
    ],
    ids=["large enough", "full", "switched off", "nothing there"],
)
async def test_other_batches_wait_for_nothing(first: list[str], options: dict[str, int]) -> None:
    client = Client(first)
    assert await taken(client, **options) == first


async def test_what_is_in_hand_is_kept_when_the_question_for_more_fails() -> None:
    assert await taken(Client(["a"], TopicAuthorizationFailedError())) == ["a"]


async def test_a_fault_of_the_first_question_is_said() -> None:
    with pytest.raises(KafkaError):
        await taken(Client(TopicAuthorizationFailedError()))


@pytest.mark.parametrize(
    ("took_ms", "waited_ms"),
    [(0, 25), (30, 25), (60, 70), (10_000, GATHER_MS_MAX)],
    ids=["idle", "quick", "busy", "stuck"],
)
async def test_it_waits_longer_where_batches_take_longer(
    took_ms: int, waited_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waits = 1_000.0, list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(round(1000 * seconds))

    monkeypatch.setattr(gathering.time, "monotonic", lambda: now)
    monkeypatch.setattr(gathering.asyncio, "sleep", sleep)
    batches = Gathering(most=lambda: 1_000, poll_ms=250, gather_ms=25)
    client = Client([], ["a"], [])
    await batches.take(client)
    now += took_ms / 1000
    assert await batches.take(client) == ("a",)
    assert waits == [waited_ms]


async def test_the_largest_batch_may_change_from_one_to_the_next() -> None:
    most = iter([5, 2])
    batches = Gathering(most=lambda: next(most), poll_ms=250, gather_ms=0)
    client = Client(["a"], ["b"])
    await batches.take(client)
    await batches.take(client)
    assert client.asked == [(250, 5), (250, 2)]
