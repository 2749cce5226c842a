"""A small batch waits for more, a full one does not, and what is in hand is never lost on the way."""

from collections import deque
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from shared.eventsourced import gathering
from shared.eventsourced.gathering import ANSWERING, ENOUGH, FULL_IN_A_ROW, GATHER_MS_MAX, Gathering

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


class Full:
    """Has as many records as anybody asks for."""

    most = 0

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.most = max_records
        return {PLACE: ["r"] * max_records}


async def taken(client: Client, *, records_max: int = 1_000, gather_ms: int = 1) -> list[Any]:
    gathering = Gathering(records_max=records_max, poll_ms=250, gather_ms=gather_ms)
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


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), RuntimeError("cannot be unpacked")], ids=repr)
async def test_what_is_in_hand_is_kept_when_the_question_for_more_fails(error: Exception) -> None:
    assert await taken(Client(["a"], error)) == ["a"]


async def test_a_fault_of_the_first_question_is_said() -> None:
    with pytest.raises(KafkaError):
        await taken(Client(TopicAuthorizationFailedError()))


@pytest.mark.parametrize(
    ("took_ms", "waited_ms"),
    [(0, 25), (30, 25), (60, 140), (10_000, GATHER_MS_MAX)],
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
    batches = Gathering(records_max=1_000, poll_ms=250, gather_ms=25)
    client = Client([], ["a"], [])
    await batches.take(client)
    now += took_ms / 1000
    assert await batches.take(client) == ("a",)
    assert waits == [waited_ms]


async def test_while_callers_wait_batches_are_small_until_they_do_not_keep_pace() -> None:
    answering = True
    batches = Gathering(records_max=350, poll_ms=250, gather_ms=0, answering=lambda: answering)

    async def most(found: int) -> int:
        client = Client(["r"] * found)
        await batches.take(client)
        return client.asked[0][1]

    assert [await most(ANSWERING) for _ in range(FULL_IN_A_ROW)] == [ANSWERING] * FULL_IN_A_ROW
    assert await most(2 * ANSWERING) == 2 * ANSWERING
    assert await most(3) == 2 * ANSWERING
    assert await most(0) == ANSWERING
    answering = False
    assert await most(350) == 350


async def test_a_backlog_is_taken_in_whole_batches_at_last() -> None:
    batches = Gathering(records_max=350, poll_ms=250, gather_ms=0, answering=lambda: True)
    asked = []
    for _ in range(3 * FULL_IN_A_ROW):
        client = Full()
        await batches.take(client)
        asked.append(client.most)
    assert asked == [100] * FULL_IN_A_ROW + [200] * FULL_IN_A_ROW + [350] * FULL_IN_A_ROW


@pytest.mark.parametrize(
    ("second", "expected", "taken_in"),
    [(["b"], ["b"], 2), ([], [], 2)],
    ids=["more came", "nothing came"],
)
async def test_a_batch_is_of_one_turn_and_what_was_taken_before_comes_again(
    second: Any, expected: list[str], taken_in: int
) -> None:
    gathering, client = Gathering(records_max=9, poll_ms=1, gather_ms=1), Client(["a"], second)
    assert list(await gathering.take(client, lambda: len(client.asked))) == expected
    assert gathering.taken_in == taken_in


async def test_what_was_taken_before_is_nobodys_while_it_is_not_known_who_has_the_partitions() -> None:
    """To bring nothing would say that nothing is in hand: then Kafka is told where the positions are."""
    gathering, client = Gathering(records_max=9, poll_ms=1, gather_ms=1), Client(["a"], KafkaError("the group changes"))
    with pytest.raises(KafkaError):
        await gathering.take(client, lambda: len(client.asked))
