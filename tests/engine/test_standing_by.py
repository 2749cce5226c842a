"""Who of a group hears, where one hears and the others stand by."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from shared.eventsourced.standing_by import PATIENCE_SECONDS, EldestHears

PARTITIONS = {"o2c.order.events": {0, 1, 2}, "o2c.inbound.shipments": {0, 1}}


class Cluster(ClusterMetadata):  # type: ignore[misc]
    """Topics with their partitions; nobody is asked."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return PARTITIONS.get(topic)


def member(since: int, *topics: str) -> Any:
    return ConsumerProtocolMemberMetadata(0, list(topics or PARTITIONS), b"%020d" % since)


def heard_by(members: dict[str, Any]) -> dict[str, Any]:
    found = EldestHears.assign(Cluster(), members)
    assert found.keys() == members.keys(), "Kafka waits for an answer to each member"
    return {name: dict(each.assignment) for name, each in found.items() if each.assignment}


@pytest.mark.parametrize("members", [{"a": 5}, {"a": 5, "b": 6}, {"z": 9, "a": 5, "b": 10}])
def test_the_eldest_hears_everything(members: dict[str, int]) -> None:
    everything = {"o2c.inbound.shipments": [0, 1], "o2c.order.events": [0, 1, 2]}
    assert heard_by({name: member(since) for name, since in members.items()}) == {"a": everything}


def test_who_stands_by_takes_over_when_the_eldest_goes() -> None:
    assert heard_by({"b": member(6), "c": member(7)}).keys() == {"b"}


def test_of_two_that_began_at_one_instant_one_hears() -> None:
    assert heard_by({"b": member(5), "a": member(5)}).keys() == {"a"}


def test_members_of_the_version_before_are_in_the_same_group_and_the_eldest() -> None:
    assert EldestHears.name == RoundRobinPartitionAssignor.name
    before = RoundRobinPartitionAssignor.metadata(list(PARTITIONS))
    assert heard_by({"old": before, "new": member(5)}).keys() == {"old"}


def test_a_topic_that_is_new_in_a_version_is_heard_while_that_is_rolled_out() -> None:
    old, new = member(5, "o2c.order.events"), member(6)
    assert heard_by({"old": old, "new": new}) == {
        "old": {"o2c.order.events": [0, 1, 2]},
        "new": {"o2c.inbound.shipments": [0, 1]},
    }


def test_a_topic_that_is_not_there_yet_is_waited_for() -> None:
    (found,) = heard_by({"a": member(5, "o2c.order.events", "o2c.inbound.nowhere")}).values()
    assert found == {"o2c.inbound.nowhere": [], "o2c.order.events": [0, 1, 2]}


def test_every_member_tells_when_it_began_and_goes_on_saying_so() -> None:
    eldest = EldestHears()
    first, again = eldest.metadata(["o2c.order.events"]), eldest.metadata(["o2c.order.events"])
    assert first.user_data == again.user_data
    assert first.subscription == ["o2c.order.events"]
    assert len(first.user_data) == 20


class Group:
    """Members, in the order in which they began, that join whenever one of them asks for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *behind_seconds: float) -> None:
        """`behind_seconds`: of each member, how far its host's clock is behind."""
        self.now = 1_800_000_000.0
        self._clock = monkeypatch
        self._behind = behind_seconds
        self._members = [self._on(n, EldestHears) for n in range(len(behind_seconds))]

    def hears(self) -> int:
        joining = {f"{n}": each.metadata(list(PARTITIONS)) for n, each in enumerate(self._members)}
        assigned = EldestHears.assign(Cluster(), joining)
        for name, assignment in assigned.items():
            self._members[int(name)].on_assignment(assignment)
        (found,) = [int(name) for name, each in assigned.items() if each.assignment]
        return found

    def step_aside(self, member: int, after_seconds: float = PATIENCE_SECONDS) -> bool:
        self.now += after_seconds
        return self._on(member, self._members[member].step_aside)

    def _on(self, member: int, do: Callable[[], Any]) -> Any:
        """Do it by the clocks of this member's host."""
        self.now += 0.001
        self._clock.setattr(time, "time_ns", lambda: int((self.now - self._behind[member]) * 1e9))
        self._clock.setattr(time, "monotonic", lambda: self.now)
        return do()


@pytest.mark.parametrize("behind", [(0, 0), (300, 0), (0, 300)])
def test_who_steps_aside_is_the_youngest_from_then_on_whatever_its_clock_says(
    monkeypatch: pytest.MonkeyPatch, behind: tuple[float, float]
) -> None:
    group = Group(monkeypatch, *behind)
    first = group.hears()
    for hears in (first, 1 - first) * 3:
        assert group.hears() == hears
        assert group.step_aside(hears)


def test_who_hears_does_not_step_aside_more_often_than_its_patience_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, 0, 0)
    assert not group.step_aside(0, PATIENCE_SECONDS - 1)
    assert group.hears() == 0
    assert group.step_aside(0, 1)
    assert not group.step_aside(0, PATIENCE_SECONDS - 1)
    assert group.hears() == 1


def test_who_steps_aside_is_younger_than_before_though_its_clock_was_set_back_and_its_leader_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member, later = EldestHears(), time.monotonic() + PATIENCE_SECONDS
    before = member.since
    member.on_assignment(ConsumerProtocolMemberAssignment(0, [], b""))  # of a leader of the version before
    monkeypatch.setattr(time, "monotonic", lambda: later)
    monkeypatch.setattr(time, "time_ns", lambda: before - 10**9)
    assert member.step_aside()
    assert member.since > before
