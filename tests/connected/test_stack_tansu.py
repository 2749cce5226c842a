"""The embedded broker: clients work, and what its docstring says about its limits is so."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from o2c.stack import Tansu
from shared.kafka_mends import mend
from tests.support.brokers import empty_broker, tansu_in
from tests.support.kafka_client import consume, consume_in_group, create_topic, produce, topics_of

pytestmark = pytest.mark.connected


@pytest_asyncio.fixture
async def tansu(stack_home: Path) -> AsyncIterator[Tansu]:
    broker = tansu_in(stack_home)
    await broker.start()
    yield broker
    await broker.stop()


async def test_a_restart_on_the_same_port_empties_it(tansu: Tansu) -> None:
    await create_topic(tansu.servers, "t", partitions=3)
    await produce(tansu.servers, "t", [b"a", b"b"])
    assert await consume(tansu.servers, "t") == [b"a", b"b"]
    port = tansu.port
    await tansu.kill()
    await tansu.start()
    assert tansu.port == port
    assert await topics_of(tansu.servers) == []
    await create_topic(tansu.servers, "t")
    assert await consume(tansu.servers, "t") == []


async def test_a_group_reads_everything_once(tansu: Tansu) -> None:
    await create_topic(tansu.servers, "t", partitions=4)
    await produce(tansu.servers, "t", [b"%d" % number for number in range(8)])
    assert await consume_in_group(tansu.servers, "t", "g", 8) == [b"%d" % number for number in range(8)]


async def test_a_member_that_leaves_is_gone_at_once_also_in_the_first_generation_which_is_0(tansu: Tansu) -> None:
    mend()
    await create_topic(tansu.servers, "t", partitions=4)
    consumer = AIOKafkaConsumer(bootstrap_servers=tansu.servers, group_id="g", session_timeout_ms=2_000)
    consumer.subscribe(["t"])
    await consumer.start()
    assert len(await members(tansu.servers, "g")) == 1
    await consumer.stop()
    assert await members(tansu.servers, "g") == []


async def members(servers: str, group: str) -> list[Any]:
    """Who is in a group, as the broker sees it."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        (described,) = await client.describe_consumer_groups([group])
        return list(described.groups[0][5])
    finally:
        await client.close()


async def test_emptying_it_forgets_topics_and_records(tansu: Tansu) -> None:
    await create_topic(tansu.servers, "t")
    await produce(tansu.servers, "t", [b"a"])
    await empty_broker(tansu.servers)
    await create_topic(tansu.servers, "t", partitions=2)
    assert await consume(tansu.servers, "t") == []


async def test_partitions_cannot_be_added(tansu: Tansu) -> None:
    await create_topic(tansu.servers, "t")
    client = AIOKafkaAdminClient(bootstrap_servers=tansu.servers)
    await client.start()
    with pytest.raises(IncompatibleBrokerVersion):
        await client.create_partitions({"t": NewPartitions(2)})
    await client.close()


async def test_there_is_no_idempotent_producer(tansu: Tansu) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tansu.servers, enable_idempotence=True)
    with pytest.raises(KafkaError):
        await producer.start()
    await producer.stop()


async def test_sending_to_an_unknown_topic_creates_it(tansu: Tansu) -> None:
    await produce(tansu.servers, "unknown", [b"a"])
    assert await topics_of(tansu.servers) == ["unknown"]
