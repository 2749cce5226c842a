"""Kafka is told now and then up to where a group has heard: never what is in hand, always what is left at the end."""

import asyncio
import math
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError
from faststream.kafka.message import KafkaAckableMessage

from shared.eventsourced import acknowledging as module
from shared.eventsourced.acknowledging import Acknowledging, InHand
from shared.eventsourced.consumer import _Taking
from shared.eventsourced.gathering import Gathering

ONE, TWO = TopicPartition("o2c.order.events", 0), TopicPartition("o2c.order.events", 1)


class Heard(NamedTuple):
    offset: int
    partition: int = 0
    topic: str = "o2c.order.events"


class Client:
    """A member of a group. `taken`: its position in each partition; `told`: what it committed, in order."""

    def __init__(self) -> None:
        self.partitions = {ONE, TWO}
        self.taken = {ONE: 100, TWO: 200}
        self.told: list[dict[TopicPartition, int]] = []
        self.sought: list[tuple[TopicPartition, int]] = []
        self.refuses = self.away = False

    def assignment(self) -> set[TopicPartition]:
        return self.partitions

    async def commit(self, offsets: dict[TopicPartition, int] | None) -> None:
        if self.away:
            await asyncio.Event().wait()
        if self.refuses:
            raise CommitFailedError("others have these partitions")
        self.told.append(dict(self.taken) if offsets is None else offsets)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def acknowledging(monkeypatch: pytest.MonkeyPatch) -> Acknowledging:
    """Tells the first batch at once, and then none for the length of a test."""
    monkeypatch.setattr(module, "TELL_SECONDS", math.inf)
    return Acknowledging()


async def heard(acknowledging: Acknowledging, client: Client, *records: Heard) -> None:
    await acknowledging.heard(client, records, acknowledging.turn)


async def test_the_first_batch_is_told_at_once_and_all_when_nothing_follows(
    acknowledging: Acknowledging, client: Client
) -> None:
    await heard(acknowledging, client, Heard(4), Heard(5), Heard(9, partition=1))
    assert client.told == [{ONE: 6, TWO: 10}]
    await heard(acknowledging, client, Heard(6))
    await heard(acknowledging, client, Heard(7))
    assert len(client.told) == 1
    await acknowledging.rest(client)
    await acknowledging.rest(client)
    assert client.told[1:] == [client.taken]


async def test_batches_are_told_again_after_a_while(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 0.01)
    acknowledging = Acknowledging()
    await heard(acknowledging, client, Heard(1))
    await asyncio.sleep(0.02)
    await heard(acknowledging, client, Heard(2))
    assert client.told == [{ONE: 2}, {ONE: 3}]


async def test_at_the_end_what_is_left_is_told_and_then_every_batch(
    acknowledging: Acknowledging, client: Client
) -> None:
    await acknowledging.finish()  # a process that heard nothing
    await heard(acknowledging, client, Heard(1))
    await heard(acknowledging, client, Heard(2))
    assert client.told == [{ONE: 2}, {ONE: 3}]


@pytest.mark.parametrize("end", ["finish", "revoked"])
async def test_what_is_left_is_told_when_the_end_begins_or_partitions_go(
    acknowledging: Acknowledging, client: Client, end: str
) -> None:
    await heard(acknowledging, client, Heard(1))
    await heard(acknowledging, client, Heard(2))
    await (acknowledging.finish() if end == "finish" else acknowledging.on_partitions_revoked([ONE, TWO]))
    assert client.told == [{ONE: 2}, {ONE: 3}]


async def test_nothing_is_told_of_partitions_that_went_to_others(acknowledging: Acknowledging, client: Client) -> None:
    client.partitions = {TWO}
    await heard(acknowledging, client, Heard(1), Heard(5, partition=1))
    client.partitions = set()
    await acknowledging.rest(client)
    assert client.told == [{TWO: 6}]


async def test_where_partitions_begin_is_told_though_nothing_comes(
    acknowledging: Acknowledging, client: Client
) -> None:
    await acknowledging.rest(client)
    await acknowledging.on_partitions_revoked([ONE])
    acknowledging.on_partitions_assigned([ONE])
    await acknowledging.rest(client)
    assert client.told == [client.taken, client.taken]


async def test_who_rests_tells_again_where_nothing_came_and_a_position_moved(
    acknowledging: Acknowledging, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acknowledging.rest(client)
    client.taken[ONE] = 101  # over the marker of a transaction
    await acknowledging.rest(client)
    assert len(client.told) == 1
    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    await acknowledging.rest(client)
    assert client.told[1:] == [{ONE: 101, TWO: 200}]


async def test_what_kafka_refuses_is_told_later(acknowledging: Acknowledging, client: Client) -> None:
    client.refuses = True
    await heard(acknowledging, client, Heard(1))
    await acknowledging.rest(client)
    client.refuses = False
    await acknowledging.rest(client)
    assert client.told == [client.taken]


async def test_what_kafka_refuses_under_load_is_told_with_the_next_batch(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    """The partition that it is of may rest from then on, while others do not."""
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    acknowledging = Acknowledging()
    client.refuses = True
    await heard(acknowledging, client, Heard(4), Heard(9, partition=1))
    client.refuses = False
    await heard(acknowledging, client, Heard(5))
    assert client.told == [{ONE: 6, TWO: 10}]


async def test_nobody_waits_without_end_for_a_coordinator_that_is_away(
    acknowledging: Acknowledging, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS_MAX", 0.01)
    client.away = True
    await heard(acknowledging, client, Heard(1))
    await heard(acknowledging, client, Heard(2))
    await acknowledging.on_partitions_revoked([ONE])
    await acknowledging.rest(client)
    await acknowledging.finish()
    assert client.told == []


def message(client: Client, acknowledging: Acknowledging | None, *records: Heard) -> Any:
    """A batch as FastStream has it in hand."""
    turn = 0 if acknowledging is None else acknowledging.turn
    return KafkaAckableMessage(raw_message=records, body=[], consumer=InHand(client, acknowledging, records, turn))


async def test_what_is_in_hand_is_never_told(acknowledging: Acknowledging, client: Client) -> None:
    before, in_hand = message(client, acknowledging, Heard(1)), message(client, acknowledging, Heard(2))
    await before.ack()
    await acknowledging.finish()
    assert client.told == [{ONE: 2}]
    await in_hand.ack()
    assert client.told == [{ONE: 2}, {ONE: 3}]


async def test_a_batch_from_before_partitions_were_given_out_anew_is_not_told(
    acknowledging: Acknowledging, client: Client
) -> None:
    in_hand = message(client, acknowledging, Heard(1))
    await acknowledging.on_partitions_revoked([ONE, TWO])
    acknowledging.on_partitions_assigned([ONE])  # and somebody has heard on meanwhile
    await in_hand.ack()
    assert client.told == []


async def test_a_batch_that_gathers_while_partitions_are_given_out_anew_is_of_the_new_ones_alone(
    acknowledging: Acknowledging, client: Client
) -> None:
    async def getmany(**_: Any) -> dict[TopicPartition, list[Heard]]:
        if acknowledging.turn:
            return {TWO: [Heard(200, 1)]}
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, acknowledging.on_partitions_revoked([ONE, TWO]))
        return {ONE: [Heard(1)]}

    client.getmany = getmany  # type: ignore[attr-defined]
    taking = _Taking(Gathering(records_max=9, poll_ms=1, gather_ms=1), acknowledging)
    in_hand = await taking.message(await taking.take(client))
    assert (in_hand.raw_message, acknowledging.ours) == ((Heard(200, 1),), True)
    await in_hand.ack()
    assert client.told == [{TWO: 201}]


async def test_what_is_done_while_partitions_go_is_not_told_of_those_that_come(
    acknowledging: Acknowledging, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_hand, telling = message(client, acknowledging, Heard(5)), acknowledging._tell

    async def meanwhile() -> None:
        await telling()
        await in_hand.ack()

    monkeypatch.setattr(acknowledging, "_told_at", math.inf)
    monkeypatch.setattr(acknowledging, "_tell", meanwhile)
    await acknowledging.on_partitions_revoked([ONE, TWO])
    monkeypatch.undo()
    await acknowledging.finish()
    assert client.told == []


async def test_a_batch_of_before_that_is_handed_back_moves_no_position_of_now(
    acknowledging: Acknowledging, client: Client
) -> None:
    """The broker came back empty: offset 50 of its new log is another record, and those before it were never read."""
    in_hand = message(client, acknowledging, Heard(50))
    await acknowledging.on_partitions_revoked([ONE, TWO])
    await in_hand.nack()
    assert client.sought == []


async def test_a_batch_that_is_handed_back_is_taken_again_and_not_told(
    acknowledging: Acknowledging, client: Client
) -> None:
    await message(client, acknowledging, Heard(4), Heard(5)).nack()
    await acknowledging.finish()
    assert (client.sought, client.told) == ([(ONE, 4)], [])


async def test_without_a_group_there_is_nobody_to_tell(client: Client) -> None:
    await message(client, None, Heard(1)).ack()
    assert client.told == []
