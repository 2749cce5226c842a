"""A small batch waits for more, a full one does not, and what is in hand is never lost on the way."""

from collections import deque
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from faststream.kafka import KafkaBroker

from shared.eventsourced.consumer import GATHERED_MAX, subscribe

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


async def polled(client: Client, *, records_max: int = 1_000, gather_ms: int = 1) -> list[Any]:
    async def nothing(_: list[Any]) -> None:
        return

    subscriber = subscribe(
        KafkaBroker(),
        ["o2c.order.events"],
        nothing,
        group_id="g",
        records_max=records_max,
        poll_ms=250,
        gather_ms=gather_ms,
        wait_ms=100,
        session_ms=6_000,
    )
    return list(await subscriber.get_msg(client))


async def test_a_small_batch_takes_what_came_a_moment_later() -> None:
    client = Client(["a"], ["b", "c"])
    assert await polled(client) == ["a", "b", "c"]
    assert client.asked == [(250, 1_000), (0, 999)]


@pytest.mark.parametrize(
    ("first", "options"),
    [
        (["r"] * GATHERED_MAX, {}),
        (["r"] * 10, {"records_max": 10}),
        (["r"], {"gather_ms": 0}),
        ([], {}),
    ],
    ids=["large enough", "full", "switched off", "nothing there"],
)
async def test_other_batches_wait_for_nothing(first: list[str], options: dict[str, int]) -> None:
    client = Client(first)
    assert await polled(client, **options) == first


async def test_what_is_in_hand_is_kept_when_the_question_for_more_fails() -> None:
    assert await polled(Client(["a"], TopicAuthorizationFailedError())) == ["a"]


async def test_a_fault_of_the_first_question_is_said() -> None:
    with pytest.raises(KafkaError):
        await polled(Client(TopicAuthorizationFailedError()))
