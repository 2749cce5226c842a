"""From the store to Kafka: everything is said in order of its lanes, whatever happens in between, and heard once."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest

from shared.contracts.credit import CreditApproved
from shared.eventsourced import reading
from shared.eventsourced.decider import To
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.relay import LETTER_TEXT_MAX, Relay
from shared.kafka import dead_letter_topic, new_producer
from tests.connected.support_engine import (
    CreateToyDatabase,
    Database,
    OpenReplica,
    Replica,
    counting_service,
    counts,
    eventually,
    everything_on,
    running,
)
from tests.connected.support_relay import (
    CUSTOMERS,
    TOPIC,
    counted,
    led,
    new_relay,
    said,
    say,
    true,
)
from tests.engine.records import INBOUND, Record
from tests.engine.toy import SAYS, AddCoins, CoinsAdded, ReceiptWritten, jar, toy_service

pytestmark = pytest.mark.connected


async def test_everything_is_said_once_and_in_order_of_its_lane(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    await say(replica, 240)
    relay = new_relay(database, servers)
    async with led(relay):
        await eventually(true(lambda: relay.cursor == 480))  # a coin and its count on the tally
        replica.on_commit = relay.committed
        await say(replica, 24, start=240)
        await eventually(true(lambda: relay.sent == 264))
    monkeypatch.delattr(reading, "_by_name")  # headers stand where listeners look first
    assert await said(servers) == {lane_of(customer): list(range(1, 23)) for customer in CUSTOMERS}


async def test_what_this_process_commits_is_said_without_being_read(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    relay = new_relay(database, servers)
    read_from_store = relay._read

    async def nothing(connection: Any) -> Any:
        return relay.cursor, []

    monkeypatch.setattr(relay, "_read", nothing)
    async with led(relay):
        await eventually(true(lambda: relay.leads))
        replica.on_commit = relay.committed
        await say(replica, 24)
        await eventually(true(lambda: relay.sent == 24))
        monkeypatch.setattr(relay, "_read", read_from_store)
        relay.say_again(dict.fromkeys(map(lane_of, CUSTOMERS), 1))
        await eventually(true(lambda: relay.sent_again == 24))
    copies = Counter((record.key, record.value, record.headers) for record in await everything_on(servers, TOPIC))
    assert list(copies.values()) == [2] * 24, "one that was handed over, and one that was read"


async def test_what_another_replica_commits_in_between_is_said_in_its_place(
    open_replica: OpenReplica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    here, elsewhere = await open_replica(), await open_replica()
    relay = new_relay(database, servers, poll_ms=1_000)
    async with led(relay):
        await eventually(true(lambda: relay.leads))
        here.on_commit = relay.committed
        for start in range(0, 240, 24):
            await asyncio.gather(say(here, 12, start=start), say(elsewhere, 12, start=start + 12))
        await eventually(true(lambda: relay.sent == 240))
    assert await said(servers) == {lane_of(customer): list(range(1, 21)) for customer in CUSTOMERS}


async def test_a_crash_between_sending_and_bookkeeping_says_again_with_the_same_positions(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await say(replica, 24)
    blocking = await asyncpg.connect(database.dsn)
    transaction = blocking.transaction()
    await transaction.start()
    await blocking.execute("SELECT * FROM relay FOR UPDATE")  # the bookkeeping will wait for us
    relay = new_relay(database, servers)
    async with led(relay):
        await eventually(true(lambda: relay.sent == 24))
    await blocking.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE '%UPDATE relay SET cursor%' AND pid <> pg_backend_pid()"
    )
    await transaction.rollback()
    assert await blocking.fetchval("SELECT cursor FROM relay") == 0
    await blocking.close()
    again = new_relay(database, servers)
    async with led(again):
        await eventually(true(lambda: again.cursor == 48))
    assert await said(servers) == {lane_of(customer): [1, 2, 1, 2] for customer in CUSTOMERS}


async def test_only_one_relay_leads_and_another_takes_over(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    first, second = new_relay(database, servers), new_relay(database, servers)
    async with led(second):
        async with led(first):
            await eventually(true(lambda: first.leads or second.leads))
            assert first.leads != second.leads
        await say(replica, 24)
        await eventually(true(lambda: second.leads and second.cursor == 48))
    assert await said(servers) == {lane_of(customer): [1, 2] for customer in CUSTOMERS}


async def test_two_relays_at_once_say_the_same_and_it_is_heard_once(
    replica: Replica, database: Database, toy_databases: CreateToyDatabase, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    listener = await toy_databases()
    await say(replica, 240)
    async with running(counting_service(CreditApproved), listener.settings(servers)) as process:
        connections = [await asyncpg.connect(database.dsn) for _ in range(2)]
        producers = [new_producer(servers) for _ in range(2)]
        for producer in producers:
            await producer.start()
        relays = [new_relay(database, servers, records_max=37 + n) for n in range(2)]
        leading = [
            asyncio.create_task(relay._lead(connection, producer))  # without the lock that keeps them apart
            for relay, connection, producer in zip(relays, connections, producers, strict=True)
        ]
        await eventually(true(lambda: all(relay.cursor == 480 for relay in relays)))
        await eventually(lambda: counted(process, 240))
        await eventually(true(lambda: process.consumer.duplicates >= 240))  # the other relay's messages, all of them
        for task in leading:
            task.cancel()
        await asyncio.gather(*leading, return_exceptions=True)
        for producer, connection in zip(producers, connections, strict=True):
            await producer.stop()
            await connection.close()
        assert set((await counts(process.pool)).values()) == {1}


async def test_a_frozen_leaders_lock_ends_with_its_lease_and_so_does_its_hold_on_the_cursor(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.eventsourced.relay.LEASE_SECONDS", 1)
    servers = await fresh_broker()
    zombie, other = new_relay(database, servers), new_relay(database, servers)
    frozen, thawed = asyncio.Event(), asyncio.Event()
    send = zombie._send

    async def freeze(producer: Any, topic: str, messages: Any) -> None:
        await send(producer, topic, messages)
        if topic == TOPIC and messages and not frozen.is_set():
            frozen.set()
            await thawed.wait()

    monkeypatch.setattr(zombie, "_send", freeze)
    await say(replica, 24)
    async with led(zombie):
        await frozen.wait()
        async with led(other):
            await eventually(true(lambda: other.leads and other.cursor == 48))
            thawed.set()
            await eventually(true(lambda: not zombie.leads))
            assert zombie._stored == 0
            assert other.leads


async def test_a_fact_that_was_said_and_is_not_any_more_is_an_error_at_the_start_that_names_it(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await say(replica, 12)
    first = new_relay(database, servers)
    async with led(first):
        await eventually(true(lambda: first.cursor == 24))
    second = new_relay(database, servers, says={ReceiptWritten: SAYS[ReceiptWritten]})
    async with led(second):
        await eventually(true(lambda: "toy.CoinsAdded: recorded as public" in (second.fault or "")))
        assert second.cursor == 0
    third = new_relay(database, servers, says={CoinsAdded: SAYS[CoinsAdded]})  # a receipt was never recorded
    async with led(third):
        await eventually(true(lambda: third.leads and third.cursor == 24))


async def test_a_dead_letter_of_any_size_is_told_and_the_relay_goes_on(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    big = [Record(b"%d" % n * 950_000, (("ce_id", b"i-%d" % n),), INBOUND, key=b"k" * 300_000) for n in range(3)]
    await replica.consumer.handle(big)
    text = "x" * 990_000
    await replica.pool.execute("UPDATE dead_letters SET message_id = $1, type = $1, reason = $1 WHERE id = 3", text)
    relay = new_relay(database, servers)
    async with led(relay):
        await eventually(lambda: _letters_told(replica, 3))
        await say(replica, 12)
        await eventually(true(lambda: relay.sent == 12))
    assert relay.fault is None
    told = await everything_on(servers, dead_letter_topic("credit"))
    assert [dict(record.headers)["ce_id"] for record in told] == [b"i-0", b"i-1", text[:LETTER_TEXT_MAX].encode()]


async def _letters_told(replica: Replica, last: int) -> bool:
    told: int = await replica.pool.fetchval("SELECT letters FROM relay")
    return told >= last


# ---- the process ends


async def test_who_is_told_to_finish_while_it_sends_says_all_and_leaves_nothing_to_say_again(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    relay = new_relay(database, servers)
    replica.on_commit = relay.committed
    sending, release, send_now = asyncio.Event(), asyncio.Event(), Relay._send

    async def held(self: Relay, producer: Any, topic: str, messages: Any) -> None:
        if messages and topic == TOPIC:
            sending.set()
            await release.wait()
        await send_now(self, producer, topic, messages)

    monkeypatch.setattr(Relay, "_send", held)
    leading = asyncio.create_task(relay.run())
    await eventually(true(lambda: relay.leads))
    await say(replica, 12)
    await sending.wait()
    await say(replica, 12, start=12)
    relay.finish()
    release.set()
    async with asyncio.timeout(30):
        await leading
    assert await replica.pool.fetchval("SELECT cursor FROM relay") == 48
    assert await said(servers) == {lane_of(customer): [1, 2] for customer in CUSTOMERS}


async def test_a_process_that_stops_says_what_it_has_committed_last(
    database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_now = Relay._send

    async def no_sooner_than_at_the_end(self: Relay, producer: Any, topic: str, messages: Any) -> None:
        while messages and topic == TOPIC and not self._finishing:
            await asyncio.sleep(0.01)
        await send_now(self, producer, topic, messages)

    monkeypatch.setattr(Relay, "_send", no_sooner_than_at_the_end)
    servers = await fresh_broker()
    async with running(toy_service(hears={}), database.settings(servers)) as process:
        await eventually(true(lambda: process.relay.leads))
        await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
    connection = await asyncpg.connect(database.dsn)
    assert await connection.fetchval("SELECT cursor = (SELECT max(notification_id) FROM events) FROM relay")
    await connection.close()
    assert await said(servers) == {lane_of("C-1"): [1]}
