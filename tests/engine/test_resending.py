"""What is said on the control topic, which anybody may write to, and holes before what no speaker has said."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import pytest

from shared.eventsourced import resending
from shared.eventsourced.relay import Relay
from shared.eventsourced.resending import SEQUENCE_MAX, Control, Resending
from tests.engine.records import Record

LANE = ("credit", 5)


class Asked:
    """In the place of a relay: what it was asked to say again."""

    def __init__(self) -> None:
        self.lanes: dict[int, int] = {}

    def say_again(self, lanes: Mapping[int, int]) -> None:
        self.lanes.update(lanes)


class Case:
    """The resending of the order service, which listens to credit and stands at 7 in the lane."""

    def __init__(self) -> None:
        self.relay = Asked()
        self.sent: list[Control] = []
        self.told: list[dict[int, int]] = []
        self.untaken: set[tuple[str, int]] = set()
        self.resending = Resending(
            "order", cast(Relay, self.relay), ["credit"], self.positions, self.send, self.taken, self.on_heard
        )

    async def positions(self) -> dict[tuple[str, int], int]:
        return {LANE: 7}

    async def send(self, value: bytes) -> None:
        self.sent.append(msgspec.json.decode(value, type=Control))

    async def on_heard(self, lanes: Mapping[int, int]) -> None:
        self.told.append(dict(lanes))

    async def taken(self) -> Callable[[tuple[str, int]], bool]:
        return lambda lane: lane not in self.untaken

    async def hear(self, **control: Any) -> None:
        await self.resending.hear([Record(msgspec.json.encode(control))])


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(resending, "PATIENCE_SECONDS", 0.0)
    return Case()


async def test_only_what_can_be_a_lane_and_a_sequence_is_said_again(order: Case) -> None:
    lanes = {"5": 3, "48": 1, "-1": 1, "6": 0, "7": -3, "8": SEQUENCE_MAX, "9": 2**63}
    await order.hear(kind="resend", speaker="order", lanes=lanes)
    assert order.relay.lanes == {5: 3}


async def test_heads_that_cannot_be_are_not_waited_for(order: Case) -> None:
    await order.hear(kind="heads", speaker="credit", heads={"99": 5, "5": 2**63, "6": -1})
    gaps: dict[tuple[str, int], int] = {}
    for _ in range(3):
        await order.resending.check(gaps)
    assert order.sent == []


async def test_a_hole_is_asked_for_while_the_speaker_has_said_more(order: Case) -> None:
    gaps = {LANE: 9}
    for _ in range(3):
        await order.resending.check(gaps)
        await order.hear(kind="heads", speaker="credit", heads={"5": 9})
    assert gaps == {LANE: 9}
    assert order.sent == [Control("resend", "credit", lanes={5: 8})]


@pytest.mark.parametrize("heads", [{"5": 7}, {"6": 1}])
async def test_a_hole_before_what_the_speaker_never_said_is_forgotten(order: Case, heads: dict[str, int]) -> None:
    gaps = {LANE: 9}
    await order.resending.check(gaps)
    assert gaps == {LANE: 9}, "nobody has told yet how far the speaker has spoken"
    await order.hear(kind="heads", speaker="credit", heads=heads)
    await order.resending.check(gaps)
    assert gaps == {}


async def test_a_hole_that_another_replica_has_filled_is_none(order: Case) -> None:
    gaps = {LANE: 7}
    for _ in range(3):
        await order.resending.check(gaps)
    assert (gaps, order.sent) == ({}, [])


async def test_a_speaker_that_says_less_than_was_heard_before_is_told_so(order: Case) -> None:
    await order.hear(kind="heads", speaker="credit", heads={"5": 7})
    assert order.sent == [], "what was heard is not known yet"
    await order.resending.check({})
    await order.hear(kind="heads", speaker="credit", heads={"5": 7})
    assert order.sent == []
    await order.hear(kind="heads", speaker="credit", heads={"5": 6})
    assert [(sent.kind, sent.speaker, sent.lanes) for sent in order.sent] == [("heard", "credit", {5: 7})]


async def test_what_others_say_to_have_heard_of_us_is_handed_on(order: Case) -> None:
    await order.hear(kind="heard", speaker="credit", lanes={"5": 7})
    await order.hear(kind="heard", speaker="order", lanes={"5": 7, "99": 1, "6": SEQUENCE_MAX})
    assert order.told == [{5: 7}]


async def test_what_kafka_still_holds_of_a_lane_is_waited_for_and_no_other_lane_waits_for_that(order: Case) -> None:
    other = ("credit", LANE[1] + 1)
    order.untaken.add(LANE)
    await order.hear(kind="heads", speaker="credit", heads={str(LANE[1]): 9, str(other[1]): 4})
    for _ in range(2):
        await order.resending.check({})
    assert [(asked.kind, asked.lanes) for asked in order.sent] == [("resend", {other[1]: 1})]
