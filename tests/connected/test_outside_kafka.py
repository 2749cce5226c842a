"""The outside world's Kafka client and the bare chain on a real broker: nothing lost, everything in its lane."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from o2c.bench.bare_chain import DATABASE, STAGES, BareChain, topics
from o2c.outside.envelope import envelope
from o2c.outside.kafka import Listener, Publisher
from shared.contracts.inbound import INBOUND_SHIPMENTS, Receipt
from shared.errors import UnavailableError
from shared.eventsourced.publishing import lane_of
from shared.kafka import ensure_topics
from tests.conftest import FreshBroker
from tests.support.kafka_client import topics_of

pytestmark = pytest.mark.connected

TOPIC = INBOUND_SHIPMENTS.topic
AT = datetime(2026, 3, 31, 12, tzinfo=UTC)


def receipts(first: int, number: int) -> list[Any]:
    return [envelope(Receipt(f"R-{n}", f"SKU-{n % 50}", 1), AT) for n in range(first, first + number)]


async def heard(listener: Listener, number: int) -> list[Any]:
    """Poll until so many records came, and once more for any too many."""
    records: list[Any] = []
    for _ in range(500):
        records += await listener.poll()
        if len(records) >= number:
            break
    return [*records, *await listener.poll()]


async def test_all_that_is_published_is_heard_in_its_partition_and_order(fresh_broker: FreshBroker) -> None:
    servers = await fresh_broker()
    await ensure_topics(servers, [TOPIC], partitions=3, replication=1)
    sent = receipts(0, 2_000)
    listener = Listener(servers)
    async with Publisher(servers) as publisher:
        await publisher.publish(sent)
        await listener.start({TOPIC: await publisher.partitions(TOPIC)}, from_beginning=True)
    records = await heard(listener, len(sent))
    await listener.stop()
    assert len(records) == len(sent)
    for partition in range(3):
        mine = [record.value for record in records if record.partition == partition]
        assert mine == [out.value for out in sent if out.lane % 3 == partition]
    assert all(record.partition == lane_of(record.key.decode()) % 3 for record in records)
    assert dict(records[0].headers)["ce_specversion"] == b"1.0"


async def test_a_listener_from_now_on_hears_nothing_older(fresh_broker: FreshBroker) -> None:
    servers = await fresh_broker()
    await ensure_topics(servers, [TOPIC], partitions=2, replication=1)
    listener = Listener(servers)
    async with Publisher(servers) as publisher:
        await publisher.publish(receipts(0, 10))
        await listener.start({TOPIC: await publisher.partitions(TOPIC)}, from_beginning=False)
        await publisher.publish(receipts(100, 5))
    records = await heard(listener, 5)
    await listener.stop()
    assert sorted(record.value for record in records) == sorted(out.value for out in receipts(100, 5))


async def test_a_broker_that_is_not_there_is_said_to_be_away() -> None:
    with pytest.raises(UnavailableError, match="no Kafka broker"):
        async with Publisher("127.0.0.1:9"):
            pass


async def test_every_message_of_the_bare_chain_is_an_event_at_every_stage(
    fresh_broker: FreshBroker, postgres: str
) -> None:
    servers = await fresh_broker()
    chain = BareChain(postgres, servers, partitions=2)
    assert await chain.run("a", 300, seed=1) > 0
    assert await chain.run("b", 300, seed=1) > 0
    connection = await asyncpg.connect(f"{postgres}/{DATABASE}")
    try:
        for stage in range(STAGES):
            assert await connection.fetchval(f"SELECT count(*) FROM events_{stage}") == 600
    finally:
        await connection.close()
    await chain.forget("b")
    assert not set(topics("b")) & set(await topics_of(servers)), "what is measured next has nothing to do with them"
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(f"{postgres}/{DATABASE}")
