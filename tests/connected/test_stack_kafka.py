"""Apache Kafka by Java: clients work, its log is kept over restart and kill, and a wipe empties it."""

import os
from pathlib import Path

import pytest

from o2c.stack.ports import LOOPBACK
from tests.support.brokers import kafka_in, why_no_kafka
from tests.support.kafka_client import consume, consume_in_group, create_topic, produce, topics_of
from tests.support.listening import listening_addresses

pytestmark = pytest.mark.connected


@pytest.fixture(autouse=True)
def _kafka_is_there() -> None:
    why = why_no_kafka()
    if why and os.environ.get("O2C_REQUIRE_KAFKA") != "1":
        pytest.skip(why)
    assert not why


async def test_records_and_offsets_are_kept_over_restart_and_kill_and_gone_after_a_wipe(stack_home: Path) -> None:
    kafka = kafka_in(stack_home)
    await kafka.start()
    try:
        for port in (kafka.port, kafka.controller_port):
            assert listening_addresses(port) == {LOOPBACK}
        await create_topic(kafka.servers, "t", partitions=3)
        await produce(kafka.servers, "t", [b"a", b"b"])
        assert await consume_in_group(kafka.servers, "t", "g", 2) == [b"a", b"b"]
        await kafka.restart()
        await produce(kafka.servers, "t", [b"c"])
        assert await consume(kafka.servers, "t") == [b"a", b"b", b"c"]
        await kafka.kill()
        await kafka.start()
        assert await consume_in_group(kafka.servers, "t", "g", 1) == [b"c"]
        await kafka.stop()
        kafka.wipe()
        await kafka.start()
        assert await topics_of(kafka.servers) == []
    finally:
        await kafka.stop()


async def test_its_log_is_kept_when_it_moves_to_other_ports(stack_home: Path) -> None:
    here, there = kafka_in(stack_home), kafka_in(stack_home)
    try:
        await here.start()
        await create_topic(here.servers, "t")
        await produce(here.servers, "t", [b"a"])
        await here.stop()
        await there.start()
        assert await consume(there.servers, "t") == [b"a"]
    finally:
        await here.stop()
        await there.stop()
