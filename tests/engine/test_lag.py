"""How far a process is behind Kafka, also while its partitions go to another."""

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from shared.frame.status import lag_of, untaken

FIRST, SECOND, UNSAID = (TopicPartition("o2c.order.events", number) for number in range(3))
ENDS = {FIRST: 10, SECOND: 7, UNSAID: None}


class Consumer:
    """Answers as aiokafka's consumer does. `leaving`: what goes to another while a position is waited for."""

    def __init__(self, *leaving: TopicPartition) -> None:
        self._assigned, self._leaving = set(ENDS), frozenset(leaving)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._assigned)

    def highwater(self, partition: TopicPartition) -> int | None:
        assert partition in self._assigned, "Partition is not assigned"
        return ENDS[partition]

    async def position(self, partition: TopicPartition) -> int:
        self._assigned -= self._leaving
        if partition not in self._assigned:
            raise IllegalStateError(f"{partition} is not assigned")
        return 4


async def test_a_process_is_behind_by_what_kafka_holds_for_it_and_it_has_not_taken() -> None:
    assert await untaken(Consumer()) == {FIRST: 6, SECOND: 3}
    assert await lag_of(Consumer()) == {"o2c.order.events": 9}


async def test_partitions_that_go_to_another_while_the_lag_is_asked_for_do_not_count() -> None:
    assert await untaken(Consumer(FIRST)) == {SECOND: 3}  # whichever of the two was looked at first
    assert await untaken(Consumer(SECOND)) == {FIRST: 6}
    assert await untaken(Consumer(*ENDS)) == {}
