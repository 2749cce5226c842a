"""aiokafka on uvloop: a connection that the broker reset is an error of Kafka, from which its clients recover."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError
from aiokafka.protocol.admin import CreatePartitionsRequest
from aiokafka.protocol.metadata import MetadataRequest

from shared import kafka

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def _send_after_reset() -> None:
    reset = asyncio.Event()

    async def slam(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        reset.set()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._versions = {3: (0, 5)}
    connection._read_task = asyncio.create_task(asyncio.sleep(60))  # it would have noticed a moment later
    await reset.wait()
    server.close()
    for _ in range(100):  # the first write may still be taken; the kernel tells of the reset a moment later
        answer = connection.send(MetadataRequest([]))
        answer.close()
        await asyncio.sleep(0.01)


def test_sending_over_a_connection_that_was_reset_is_an_error_of_kafka() -> None:
    assert kafka.CONTROL_TOPIC
    with pytest.raises(KafkaConnectionError):
        uvloop.run(_send_after_reset())


async def test_an_error_that_aiokafka_knows_stays_what_it_is_and_breaks_no_connection() -> None:
    assert kafka.CONTROL_TOPIC
    connection = AIOKafkaConnection("127.0.0.1", 1)
    connection._writer = object()
    connection._versions = {}  # a broker that cannot add partitions
    with pytest.raises(IncompatibleBrokerVersion):
        await connection.send(CreatePartitionsRequest([], 1_000, False))
    assert connection._writer is not None
    connection._writer = None
