"""A process that is stopped or killed at any moment: it ends in time, and every message has its effect once."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from faststream.kafka import KafkaBroker

from shared.contracts.credit import CreditApproved
from shared.eventsourced import command_queue, gathering
from shared.eventsourced.cache import StateCache
from shared.eventsourced.consumer import FETCHED_BYTES_MAX
from shared.eventsourced.decider import To
from shared.frame.status import status_of
from shared.kafka import CONTROL_TOPIC, ensure_topics
from tests.connected.support_engine import (
    CreateToyDatabase,
    Database,
    counted_in_order,
    counting_service,
    counts,
    eventually,
    running,
    send,
)
from tests.engine.records import TOPIC, Record, headers_of, order_record
from tests.engine.toy import AddCoins, Count, jar, tally, toy_service
from tests.support.brokers import Choice, tansu_in
from tests.support.hanging import way_to

pytestmark = pytest.mark.connected
ROOT = Path(__file__).parents[2]
GRACE_SECONDS = 30
LEADS = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
               WHERE locktype = 'advisory' AND objid = 7201927 AND granted AND datname = current_database())
"""


async def start(database: Database, servers: str, **changes: Any) -> asyncio.subprocess.Process:
    """A process on this database and broker."""
    settings = database.settings(servers, consume_records_max=20, **changes)
    environment = {f"O2C_{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.toy_process",
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.DEVNULL,
    )


async def topics(servers: str) -> None:
    await ensure_topics(servers, {TOPIC, CONTROL_TOPIC}, partitions=4, replication=1)


def orders(count: int, customer: str) -> list[Record]:
    return [order_record(n, customer) for n in range(1, count + 1)]


async def test_sigterm_ends_in_time_with_status_0_and_what_was_begun_is_whole(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await topics(servers)
    await send(servers, orders(2_000, "C-1"))
    process = await start(database, servers)
    connection = await asyncpg.connect(database.dsn)
    await eventually(lambda: connection.fetchval("SELECT count(*) >= 40 FROM events"))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), GRACE_SECONDS) == 0
    counted = await counted_in_order(connection)
    assert counted == [f"O-C-1-{n}" for n in range(1, len(counted) + 1)]
    assert await connection.fetchval("SELECT sum(sequence) FROM positions WHERE speaker = 'order'") == len(counted)
    await connection.close()


async def test_sigterm_ends_within_the_grace_period_though_kafka_and_the_database_hang(
    database: Database, stack_home: Path
) -> None:
    """Away is worse when nothing is refused: every connection stays open, and no answer comes."""
    broker, server = tansu_in(stack_home), urlsplit(database.server)
    await broker.start()
    await topics(broker.servers)
    await send(broker.servers, orders(2_000, "C-1"))
    connection = await asyncpg.connect(database.dsn)
    assert server.hostname
    assert server.port
    async with way_to(server.hostname, server.port) as (way, port):
        url = database.server.replace(f":{server.port}", f":{port}")
        process = await start(replace(database, server=url), broker.servers, shutdown_seconds=8)
        await eventually(lambda: connection.fetchval("SELECT count(*) >= 40 FROM events"))
        way.hang()
        assert broker.identity
        os.kill(broker.identity.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        # Two seconds for a machine that has other things to do than to end a process.
        assert await asyncio.wait_for(process.wait(), 8 + 2) == 0
        os.kill(broker.identity.pid, signal.SIGCONT)
    await connection.close()
    await broker.stop()


async def test_killed_at_random_moments_it_counts_every_message_once_and_in_order(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await topics(servers)
    connection = await asyncpg.connect(database.dsn)
    customers = ["C-1", "C-2", "C-3"]
    moments = random.Random(7)
    process = await start(database, servers)
    records = [record for group in zip(*(orders(200, c) for c in customers), strict=True) for record in group]
    for part in range(2):
        await send(servers, records[part * 300 : part * 300 + 300])
        wanted = part * 300 + moments.randrange(1, 250)
        await eventually(_enough(connection, wanted), 60)  # a killed member is missed after six seconds
        process.kill()
        await process.wait()
        process = await start(database, servers)
    await eventually(_enough(connection, 600), 60)
    await eventually(lambda: connection.fetchval(LEADS), 60)  # the one before may have counted all: this one is up now
    process.terminate()
    assert await asyncio.wait_for(process.wait(), GRACE_SECONDS) == 0
    assert set((await counts(connection)).values()) == {1}
    counted = await counted_in_order(connection)
    for customer in customers:
        assert [o for o in counted if o.startswith(f"O-{customer}-")] == [f"O-{customer}-{n}" for n in range(1, 201)]
    await connection.close()


def _enough(connection: Any, wanted: int) -> Callable[[], Any]:
    return lambda: connection.fetchval("SELECT count(*) >= $1 FROM events", wanted)


async def test_poison_on_the_wire_stops_nobody(database: Database, fresh_broker: Any) -> None:
    servers = await fresh_broker()
    await topics(servers)
    async with running(counting_service(), database.settings(servers)) as process:
        good = orders(6, "C-1")
        lane = int(dict(good[0].headers)["ce_lane"] or b"")
        good[1] = Record(None, headers_of("order-P@1", lane, 2))
        good[2] = Record(b"{}", (*headers_of("order-Q@1", lane, 3), ("note", b"\xff\xfe"), ("none", None)))
        good[3] = Record(b"\xff\x00", (*headers_of("order-R@1", lane, 4), ("na\x00me", b"")))
        good.insert(5, Record(b"?" * 10, headers=(("content-type", b"\xff"),)))
        await send(servers, good)
        await eventually(lambda: _positions(process, 6))
        assert await counted_in_order(process.pool) == ["O-C-1-1", "O-C-1-5", "O-C-1-6"]
        status = await status_of(process)
        assert status["dead_letters"] == {"parked": 4}
        assert status["missing"] == {}


async def test_a_record_larger_than_what_is_fetched_at_once_comes_alone_and_in_its_turn(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await topics(servers)
    async with running(counting_service(), database.settings(servers)) as process:
        good = orders(3, "C-1")
        whole: bytes = good[1].value
        large = whole[:-1] + b',"note":"' + b"x" * (FETCHED_BYTES_MAX + 100_000) + b'"}'
        good[1] = Record(large, good[1].headers, key=good[1].key)
        await send(servers, good)
        await eventually(lambda: _positions(process, 3))
        assert await counted_in_order(process.pool) == ["O-C-1-1", "O-C-1-2", "O-C-1-3"]


async def test_who_is_stopped_on_the_way_into_its_group_does_not_arrive(
    database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joining, join = asyncio.Event(), KafkaBroker.start

    async def slowly(broker: KafkaBroker) -> None:
        joining.set()
        await asyncio.sleep(0.5)
        await join(broker)

    monkeypatch.setattr(KafkaBroker, "start", slowly)
    service = replace(counting_service(), close=lambda: asyncio.sleep(1.5))  # time enough to arrive
    async with running(service, database.settings(await fresh_broker()), ready=False) as process:
        await joining.wait()
    assert process.kafka.subscriber is None
    assert not [task for task in asyncio.all_tasks() if "aiokafka" in repr(task.get_coro())]


@pytest.mark.parametrize("answering", [True, False])
async def test_who_answers_callers_takes_small_batches(
    database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch, answering: bool
) -> None:
    monkeypatch.setattr(gathering, "ANSWERING", 3)
    monkeypatch.setattr(command_queue, "BUSY_SECONDS", 600)
    servers = await fresh_broker()
    await topics(servers)
    async with running(counting_service(), database.settings(servers, consume_records_max=20)) as process:
        if answering:
            await process.commands.execute(To(tally, "O-0", Count("C-2")))
        first, *others = orders(31, "C-1")
        await send(servers, [first])  # a poll that began before the command may still bring many
        await eventually(lambda: _positions(process, 1))
        await send(servers, others)
        await eventually(lambda: _positions(process, 31))
        assert (process.consumer.batches >= 10) is answering


async def _positions(process: Any, total: int) -> bool:
    return sum((await process.read_positions()).values()) == total


async def test_a_gap_is_mended_by_the_speaker_saying_it_again(
    toy_databases: CreateToyDatabase, fresh_broker: Any
) -> None:
    """A listener that was set back hears what its group has long acknowledged, though nothing new comes."""
    servers = await fresh_broker()
    speaking, listening = await toy_databases(), await toy_databases()
    async with running(toy_service(hears={}), speaking.settings(servers)) as speaker:
        for n in range(10):
            await speaker.commands.execute(To(jar, "C-1", AddCoins("C-1", f"O-{n}", 1)))
        await eventually(_sent(speaker, 10))
        async with running(counting_service(CreditApproved), listening.settings(servers)) as listener:
            await eventually(lambda: _positions(listener, 10))
            await listener.pool.execute("DELETE FROM events; UPDATE positions SET sequence = 0")
            listener.store.cache = StateCache(1_000_000)
            await eventually(lambda: _positions(listener, 10))
            assert len(await counts(listener.pool)) == 10


def _sent(process: Any, count: int) -> Callable[[], Any]:
    async def sent() -> bool:
        return bool(process.relay.sent >= count)

    return sent


async def test_more_partitions_while_messages_flow_lose_and_double_nothing(
    toy_databases: CreateToyDatabase, fresh_broker: Any, broker_choice: Choice
) -> None:
    """A lane moves to another partition, where it may be heard before what is left of it in the old one."""
    if broker_choice.kind == "embedded":
        pytest.skip("the embedded broker cannot raise a number of partitions")
    servers = await fresh_broker()
    speaking, listening = await toy_databases(), await toy_databases()
    async with (
        running(toy_service(hears={}), speaking.settings(servers)) as speaker,
        running(counting_service(CreditApproved), listening.settings(servers)) as listener,
    ):
        for n in range(300):
            if n == 100:
                await raise_partitions(servers, "o2c.credit.events", 12)
            await speaker.commands.execute(To(jar, f"C-{n % 30}", AddCoins(f"C-{n % 30}", f"O-{n}", 1)))
        await eventually(lambda: _positions(listener, 300), 60)
        assert await counts(listener.pool) == {f"O-{n}": 1 for n in range(300)}
        counted = await counted_in_order(listener.pool)
    for customer in range(30):
        assert [o for o in counted if int(o[2:]) % 30 == customer] == [f"O-{n}" for n in range(customer, 300, 30)]


async def raise_partitions(servers: str, topic: str, count: int) -> None:
    """As an operator would."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        await client.create_partitions({topic: NewPartitions(count)})
    finally:
        await client.close()


async def test_a_request_to_say_everything_again_reaches_the_relay_that_leads(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    service = toy_service(hears={})
    async with running(service, database.settings(servers)) as leader:
        await leader.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
        await eventually(_sent(leader, 1))
        async with running(service, database.settings(servers)) as other:
            assert not other.relay.leads
            await other.replay()
            await eventually(_sent_again(leader))


def _sent_again(process: Any) -> Callable[[], Any]:
    async def sent() -> bool:
        return bool(process.relay.sent_again)

    return sent
