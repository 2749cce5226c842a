"""Two replicas of a service do more than one: the same backlog, drained by one and by two."""

import asyncio
import os
import time
from contextlib import AsyncExitStack

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from o2c.stack import SERVICES
from o2c.stack.postgres import quoted
from tests.faults.harness import ORDERS, System, case
from tests.faults.latency import slow_line

pytestmark = pytest.mark.faults

MEASURED = tuple((os.environ.get("O2C_FAULT_MEASURED") or ",".join(SERVICES)).split(","))
QUIET_SECONDS = 5.0
"""Nothing was heard for so long: longer than a rebalance."""
LINES = tuple(float(s) for s in (os.environ.get("O2C_FAULT_LINE") or "0,0.005").split(","))


async def test_two_replicas_of_a_service_drain_a_backlog_faster_than_one(system: System, on_kafka: None) -> None:
    async with case(system, "backlog", orders=ORDERS) as run:
        await run.end()
    system.whole = False  # the stores are thrown away below
    for name in SERVICES:
        await system.stack.stop(name)
    for line in LINES:
        async with slow_line(system.stack.postgres.port, line) as port:
            for service in MEASURED:
                one, two = [await _drained(system, service, n, port if line else 0) for n in (1, 2)]
                print(f"{service}, {line * 1000:.0f} ms: 1 replica {one:.2f} s, 2 {two:.2f} s: {one / two:.2f} x")


async def _drained(system: System, service: str, replicas: int, port: int) -> float:
    """Seconds in which so many replicas, on an empty store, hear everything there is on the topics."""
    name = quoted(system.database_of(service).rpartition("/")[2])
    await system.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
    await system.sql("postgres", f"CREATE DATABASE {name}")
    await _from_the_beginning(system, service)
    line = {"O2C_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}"} if port else {}
    measuring = asyncio.create_task(_measured(system, service))
    async with AsyncExitStack() as stack:
        await asyncio.gather(
            *(stack.enter_async_context(system.replica(service, n + 2, line)) for n in range(replicas))
        )
        return await measuring


async def _measured(system: System, service: str) -> float:
    """Seconds from the first to the last thing that was heard."""
    first = last = 0.0
    done, before = 0, -1
    while not done or time.monotonic() - last < QUIET_SECONDS:
        await asyncio.sleep(0.02)
        try:
            rows = await system.sql(
                service,
                "SELECT (SELECT coalesce(sum(sequence), 0)::bigint FROM positions) "
                "+ (SELECT coalesce(max(notification_id), 0) FROM events)",
            )
        except (asyncpg.PostgresError, OSError):
            continue
        done = rows[0][0]
        if done != before:
            last = time.monotonic()
            first = first or (last if done else 0.0)
            before = done
    return last - first


async def _from_the_beginning(system: System, service: str) -> None:
    """Set the service's group back to the beginning of all topics."""
    async with AIOKafkaConsumer(
        bootstrap_servers=system.servers, group_id=service, enable_auto_commit=False
    ) as consumer:
        topics = await consumer.topics()
        heard = {topic for topic in topics if topic.startswith("o2c.") and not topic.endswith("dead-letters")}
        partitions = [TopicPartition(t, n) for t in sorted(heard) for n in consumer.partitions_for_topic(t) or ()]
        consumer.assign(partitions)
        await consumer.commit(await consumer.beginning_offsets(partitions))
