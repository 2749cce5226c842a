"""A batch that waits for its database while its partitions go to another member, and who has caught up with Kafka."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.eventsourced import faults
from shared.eventsourced.consumer import Consumer
from shared.eventsourced.hearing import Translator
from shared.eventsourced.reading import Decoders
from shared.frame.running import Running

FIRST, SECOND = TopicPartition("o2c.order.events", 0), TopicPartition("o2c.credit.events", 0)


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
    assert store.asked == 3


class Taking:
    """What Kafka holds: `behind` messages of the second partition are not taken; `resting`: they cannot be read."""

    def __init__(self, *, behind: int, resting: bool = False) -> None:
        self._behind, self._resting = behind, resting

    def assignment(self) -> set[TopicPartition]:
        return {FIRST, SECOND}

    def paused(self) -> set[TopicPartition]:
        return {SECOND} if self._resting else set()

    def highwater(self, partition: TopicPartition) -> int:
        return 10 + (self._behind if partition == SECOND else 0)

    async def position(self, _: TopicPartition) -> int:
        return 10


@pytest.mark.parametrize(
    ("taking", "expected"),
    [
        (None, False),
        (Taking(behind=0), True),
        (Taking(behind=3), False),
        (Taking(behind=3, resting=True), True),
    ],
    ids=["does not hear", "has all", "is behind", "rests at what cannot be read"],
)
async def test_who_has_taken_all_that_can_be_read_has_caught_up(taking: Any, expected: bool) -> None:
    running: Any = SimpleNamespace(kafka=SimpleNamespace(taking=taking))
    assert await Running._caught_up(running) is expected
