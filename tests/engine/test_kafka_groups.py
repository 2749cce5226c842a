"""A member of a group whose coordinator refuses for a moment, as when rights are missing: it lives on and
hears nothing a second time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from shared import kafka, kafka_mends
from shared.frame.turning import _left_for_good

PLACE = TopicPartition("o2c.inbound.orders", 0)
HEARD = 700
REFUSED = [14, 15, 16, 29, 30, -1]
"""Codes of answers: the coordinator loads, is not there, is another, rights are missing, something unexpected."""


class Answer:
    """What the coordinator says, of all that is asked, or of the one partition."""

    def __init__(self, code: int = 0, *, of_partition: int = 0, topics: bool = True) -> None:
        self.error_code = code
        self.topics = [(PLACE.topic, [(PLACE.partition, HEARD, "", of_partition)])] if topics else []


class Cluster:
    """Never changes."""

    def add_listener(self, *_: Any) -> None:
        """Nothing."""


class Client:
    """Finds the coordinator at once, but for the first time if it is `forbidden`."""

    cluster = Cluster()
    forbidden = False

    async def coordinator_lookup(self, *_: Any) -> int:
        if self.forbidden:
            raise GroupAuthorizationFailedError("order")
        return 1

    async def ready(self, *_: Any, **__: Any) -> bool:
        return True

    async def force_metadata_update(self) -> bool:
        return True


class Coordinator(GroupCoordinator):  # type: ignore[misc]
    """aiokafka's own, which joins at once. `asked`: the kinds of its questions."""

    asked: list[type[Any]]

    async def _do_rejoin_group(self, subscription: Any) -> bool:
        self.generation, self.member_id = 1, "m"
        self._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        self._subscription.assign_from_subscribed({PLACE})
        self.start_commit_offsets_refresh_task(subscription.assignment)
        return True

    def state(self) -> Any:
        """Of the partition."""
        return self._subscription.subscription.assignment.state_value(PLACE)


@asynccontextmanager
async def member(monkeypatch: pytest.MonkeyPatch, **answers: list[Answer]) -> AsyncIterator[Coordinator]:
    """A member that beats every 10 ms. `heartbeat`, `offsets`: what it is answered."""
    assert kafka.CONTROL_TOPIC  # with it come the mends
    monkeypatch.setattr(kafka_mends, "REFUSED_SECONDS", 0.01)
    told = {
        HeartbeatRequest: answers.get("heartbeat", [Answer()]),
        OffsetFetchRequest: answers.get("offsets", [Answer()]),
    }
    asked: list[type[Any]] = []

    class Wire(Client):
        async def send(self, _: int, request: Any, **__: Any) -> Answer:
            asked.append(type(request))
            found = told.get(type(request), [Answer()])
            return found.pop(0) if len(found) > 1 else found[0]

    subscription = SubscriptionState()
    subscription.subscribe({PLACE.topic})
    subscription.register_fetch_waiters(set())
    coordinator = Coordinator(
        Wire(), subscription, group_id="order", session_timeout_ms=500, heartbeat_interval_ms=10,
        retry_backoff_ms=10, enable_auto_commit=False,
    )  # fmt: skip
    coordinator.asked = asked
    try:
        yield coordinator
    finally:
        await coordinator.close()


async def beats(coordinator: Coordinator, more: int) -> None:
    """Wait for so many heartbeats more, polling meanwhile, as the consumer does."""
    wanted = coordinator.asked.count(HeartbeatRequest) + more

    async with asyncio.timeout(5):
        while coordinator.asked.count(HeartbeatRequest) < wanted:
            await asyncio.sleep(0.01)
            coordinator.check_errors()


class Consumer:
    """As far as the probe looks."""

    class _fetcher:
        _fetch_task = None

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator


@pytest.mark.parametrize("code", REFUSED)
async def test_a_heartbeat_that_is_refused_is_followed_by_others(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member(monkeypatch, heartbeat=[Answer(), Answer(code), Answer()]) as coordinator:
        await beats(coordinator, 5)
        assert not _left_for_good(Consumer(coordinator))
        assert kafka_mends.refused(coordinator) == ""


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ({"heartbeat": [Answer(30)]}, "heartbeat"),
        ({"offsets": [Answer(of_partition=29)]}, "how far the group has heard"),
    ],
    ids=["heartbeat", "offsets"],
)
async def test_what_is_refused_for_long_is_told(answers: Any, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would tell it: such a member polls, and nothing comes."""
    async with member(monkeypatch, **answers) as coordinator:
        await beats(coordinator, 3)
        coordinator.state().fetch_committed()
        await beats(coordinator, 3)
        assert kafka_mends.refused(coordinator).startswith(what)


async def test_a_coordinator_that_may_not_be_asked_for_a_while_is_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with member(monkeypatch) as coordinator:
        await beats(coordinator, 1)
        Client.forbidden = True
        coordinator.coordinator_dead()
        await asyncio.sleep(0.1)
        Client.forbidden = False
        with pytest.raises(KafkaError):
            coordinator.check_errors()
        await beats(coordinator, 5)


@pytest.mark.parametrize("code", REFUSED)
@pytest.mark.parametrize("of_all", [True, False], ids=["of all partitions", "of one"])
async def test_who_is_not_told_how_far_its_group_has_heard_asks_again_and_begins_there(
    code: int, of_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Answer(code, topics=False) if of_all else Answer(of_partition=code)
    async with member(monkeypatch, offsets=[refused, Answer()]) as coordinator:
        await beats(coordinator, 1)
        async with asyncio.timeout(5):
            assert await coordinator.state().fetch_committed() == OffsetAndMetadata(HEARD, "")
        coordinator.check_errors()
        assert coordinator.asked.count(OffsetFetchRequest) == 2


async def test_a_task_of_a_group_that_ended_all_the_same_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with member(monkeypatch) as coordinator:
        await beats(coordinator, 1)
        await coordinator._stop_heartbeat_task()
        coordinator._heartbeat_task = asyncio.create_task(_failing())
        await asyncio.wait([coordinator._heartbeat_task])
        assert _left_for_good(Consumer(coordinator))
        coordinator._heartbeat_task = None


async def _failing() -> None:
    raise OSError("whatever")
