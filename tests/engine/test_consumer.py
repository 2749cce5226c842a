"""A batch that waits for its database while its partitions go to another member, and what a member has taken."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.eventsourced import faults
from shared.eventsourced.consumer import Consumer
from shared.eventsourced.hearing import Translator
from shared.eventsourced.reading import Decoders
from shared.frame.running import Running

FIRST, SECOND = TopicPartition("o2c.order.events", 0), TopicPartition("o2c.order.events", 1)


class Away:
    """A store that is away. `asked`: how often somebody wanted to write."""

    asked = 0

    async def run(self, _: Any) -> None:
        self.asked += 1
        raise OSError("the database is away")


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setattr(faults, "WAIT_SECONDS_MIN", 0.001)

    async def positions() -> dict[tuple[str, int], int]:
        return {("nobody", 0): 0}

    translator, store = Translator({}, [], Decoders({}, {})), Away()
    return Consumer(store, translator, {}, positions, body_bytes_max=1_000)  # type: ignore[arg-type]


async def test_a_batch_that_waits_is_given_up_when_its_partitions_went(consumer: Consumer) -> None:
    """Whoever has them now makes a customer's change that is in it, and the next one: made here later, it would undo
    that."""
    store: Any = consumer._work
    record = SimpleNamespace(
        topic="o2c.inbound.orders", headers=(), value=b"", key=b"", partition=0, offset=1, timestamp=0
    )
    with pytest.raises(OSError, match="away"):
        await consumer.handle([record], lambda: store.asked < 3)
    assert (store.asked, consumer.given_up) == (3, 1)


class Taking:
    """Has all of the first partition of two; is three messages `behind` in the second, or has it not."""

    def __init__(self, *, behind: int | None = 3) -> None:
        self._behind = behind

    def assignment(self) -> set[TopicPartition]:
        return {FIRST} if self._behind is None else {FIRST, SECOND}

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0, 1}

    def highwater(self, partition: TopicPartition) -> int | None:
        return 10 + (self._behind or 0 if partition == SECOND else 0)

    async def position(self, _: TopicPartition) -> int:
        return 10


@pytest.mark.parametrize(
    ("taking", "fault", "expected"),
    [
        (None, None, [False, False]),
        (Taking(behind=0), None, [True, True]),
        (Taking(), None, [True, False]),
        (Taking(behind=None), None, [True, False]),
        (Taking(behind=0), "the database is away", [False, False]),
    ],
    ids=["does not hear", "has all", "is behind in one", "another member has it", "has a batch in hand that waits"],
)
async def test_of_which_lanes_a_member_has_taken_all_that_kafka_holds(
    taking: Any, fault: str | None, expected: list[bool]
) -> None:
    running: Any = SimpleNamespace(
        kafka=SimpleNamespace(taking=taking),
        consumer=SimpleNamespace(fault=fault),
        _speakers={"o2c.order.events": "order"},
    )
    taken = await Running._taken(running)
    assert [taken(("order", 46)), taken(("order", 47))] == expected
    assert not taken(("nobody", 46))
