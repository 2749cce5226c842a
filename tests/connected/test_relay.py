"""From the store to Kafka: everything is said in order of its lanes, whatever happens in between, and heard once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.contracts.credit import CreditApproved
from shared.eventsourced import reading
from shared.eventsourced.decider import To
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.reading import read
from shared.eventsourced.relay import ASKED_SECONDS_MAX, LETTER_TEXT_MAX, Relay
from shared.eventsourced.unit_of_work import Batch
from shared.eventsourced.work import Work
from shared.kafka import CONTROL_TOPIC, dead_letter_topic, ensure_topics, new_producer
from tests.connected.support_engine import (
    CreateToyDatabase,
    Database,
    OpenReplica,
    Replica,
    counted_in_order,
    counting_service,
    counts,
    eventually,
    everything_on,
    running,
)
from tests.engine.records import INBOUND, Record
from tests.engine.toy import SAYS, AddCoins, CoinsAdded, ReceiptWritten, jar, toy_service
from tests.support.brokers import tansu_in

pytestmark = pytest.mark.connected

TOPIC = "o2c.credit.events"
CUSTOMERS = list({lane_of(f"C-{n}"): f"C-{n}" for n in range(60)}.values())[:12]
"""Each with a lane of its own."""


async def say(replica: Replica, count: int, start: int = 0) -> None:
    """That many public facts, spread over the customers, in transactions of twenty."""
    works = [
        Work([To(jar, CUSTOMERS[n % 12], AddCoins(CUSTOMERS[n % 12], f"O-{n}", 1))])
        for n in range(start, start + count)
    ]
    for first in range(0, count, 20):
        await replica.work.run(Batch(works[first : first + 20]))


def new_relay(database: Database, servers: str, **changes: Any) -> Relay:
    """A relay of the toy service."""

    async def topics() -> None:
        wanted = {TOPIC, CONTROL_TOPIC, dead_letter_topic("credit")}
        await ensure_topics(servers, wanted, partitions=4, replication=1)

    values: dict[str, Any] = {"says": SAYS, "records_max": 50, "poll_ms": 20, "heads_seconds": 0.5}
    return Relay("credit", dsn=database.dsn, servers=servers, ensure_topics=topics, **{**values, **changes})


@asynccontextmanager
async def led(*relays: Relay) -> AsyncIterator[None]:
    """The relays at work."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def true(condition: Callable[[], Any]) -> Callable[[], Any]:
    """A condition as `eventually` wants it."""

    async def holds() -> Any:
        return condition()

    return holds


async def said(servers: str) -> dict[int, list[int]]:
    """Lane → the sequences as they lie on the topic."""
    lanes: dict[int, list[int]] = {}
    for record in await everything_on(servers, TOPIC):
        received = read(record, {TOPIC: "credit"}, 1_000_000)
        assert received.lane == lane_of(record.key.decode())
        lanes.setdefault(received.lane, []).append(received.sequence)
    return lanes


def first_hearing(sequences: list[int]) -> list[int]:
    """What a listener takes of them: the next one, and only that."""
    position = 0
    for sequence in sequences:
        position += sequence == position + 1
    return list(range(1, position + 1))


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
        await eventually(lambda: _counted(process, 240))
        await eventually(true(lambda: process.consumer.duplicates >= 240))  # the other relay's messages, all of them
        for task in leading:
            task.cancel()
        await asyncio.gather(*leading, return_exceptions=True)
        for producer, connection in zip(producers, connections, strict=True):
            await producer.stop()
            await connection.close()
        assert set((await counts(process.pool)).values()) == {1}


async def _counted(process: Any, count: int) -> bool:
    return len(await counts(process.pool)) == count


async def test_a_relay_that_is_asked_says_the_lane_again_from_there(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    await say(replica, 120)
    relay = new_relay(database, servers)
    async with led(relay):
        await eventually(true(lambda: relay.cursor == 240))
        relay.say_again({lane_of(CUSTOMERS[3]): 4, lane_of(CUSTOMERS[5]): 9})
        await eventually(true(lambda: relay.sent_again and not relay._again))
    lanes = await said(servers)
    assert set(range(4, 11)) <= set(lanes[lane_of(CUSTOMERS[3])][10:])
    assert set(range(9, 11)) <= set(lanes[lane_of(CUSTOMERS[5])][10:])
    assert all(first_hearing(sequences) == list(range(1, 11)) for sequences in lanes.values())
    assert lanes[lane_of(CUSTOMERS[1])] == list(range(1, 11))


async def test_a_replay_that_was_asked_for_while_nobody_led_is_done_and_done_once(
    database: Database, replica: Replica, broker: str
) -> None:
    servers = broker
    await say(replica, 60)
    first = new_relay(database, servers)
    async with led(first):
        await eventually(true(lambda: first.cursor and not first.backlog))
    await replica.pool.execute("UPDATE relay SET replays_asked = replays_asked + 1")
    second = new_relay(database, servers)
    async with led(second):
        await eventually(true(lambda: second.sent_again == 60))
        await eventually(replica_done(replica))
    third = new_relay(database, servers)
    async with led(third):
        await say(replica, 20, 60)
        await eventually(true(lambda: third.sent == 20))
        await asyncio.sleep(2 * 0.5)  # it has looked twice
        assert not third.sent_again


def replica_done(replica: Replica) -> Callable[[], Any]:
    """Whether every replay that was asked for is done."""

    async def done() -> Any:
        return await replica.pool.fetchval("SELECT replays_done = replays_asked FROM relay")

    return done


async def test_what_is_asked_again_while_more_is_being_said_leaves_no_hole(
    replica: Replica, database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    relay = new_relay(database, servers, records_max=7)
    async with led(relay):
        for start in range(0, 240, 60):
            await say(replica, 60, start)
            relay.say_again({lane_of(CUSTOMERS[start // 60]): 2, lane_of(CUSTOMERS[7]): 1})
        await eventually(true(lambda: relay.cursor == 480 and not relay._again and not relay._asked))
    lanes = await said(servers)
    assert {lane: first_hearing(sequences)[-1] for lane, sequences in lanes.items()} == dict.fromkeys(lanes, 20)


async def test_new_facts_are_said_at_once_however_long_what_was_said_is_said_again(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    await say(replica, 120)
    relay, long = new_relay(database, servers, records_max=20), asyncio.Event()
    backward = relay._backward

    async def held(connection: Any, producer: Any) -> bool:
        return await backward(connection, producer) if not relay._again or long.is_set() else False

    async with led(relay):
        await eventually(true(lambda: relay.cursor == 240))
        monkeypatch.setattr(relay, "_backward", held)
        relay.say_again(dict.fromkeys(map(lane_of, CUSTOMERS), 1))
        await eventually(true(lambda: relay._again))
        await say(replica, 12, start=120)
        await eventually(true(lambda: relay.sent == 132))
        assert relay.sent_again <= 20
        # Listeners that are behind see the new ones as holes, and ask: they are on their way.
        relay.say_again(dict.fromkeys(map(lane_of, CUSTOMERS), 2))
        long.set()
        await eventually(true(lambda: not relay._again and not relay._asked))
        assert relay.sent_again == 132
    for sequences in (await said(servers)).values():
        assert sequences.index(11) < len(sequences) - 1  # before the end of what was said again, and with it once more
        assert first_hearing(sequences) == list(range(1, 12))


async def test_who_leads_after_a_long_time_does_not_say_again_what_was_asked_of_the_leader_then(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    await say(replica, 24)
    late, soon = new_relay(database, servers), new_relay(database, servers)
    for relay in (late, soon):
        relay.say_again(dict.fromkeys(map(lane_of, CUSTOMERS), 1))
    late._asked_at -= ASKED_SECONDS_MAX
    async with led(late):
        await eventually(true(lambda: late.cursor == 48 and not late.backlog))
        assert not late.sent_again
    async with led(soon):
        await eventually(true(lambda: soon.sent_again == 24))


async def test_large_facts_are_read_some_at_a_time(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = await fresh_broker()
    await say(replica, 60)
    size = await replica.pool.fetchval("SELECT max(octet_length(state)) FROM events")
    monkeypatch.setattr("shared.eventsourced.relay.READ_BYTES_MAX", 3 * size)
    relay, read = new_relay(database, servers), list[int]()
    facts = relay._facts

    async def noted(*asked: Any) -> Any:
        upto, public = await facts(*asked)
        read.append(len(public))
        return upto, public

    monkeypatch.setattr(relay, "_facts", noted)
    async with led(relay):
        await eventually(true(lambda: relay.cursor == 120))
        relay.say_again(dict.fromkeys(map(lane_of, CUSTOMERS), 1))
        await eventually(true(lambda: relay.sent_again == 60))
    assert sum(read) == 120
    assert max(read) <= 6  # what is smaller than the largest
    assert set(map(tuple, (await said(servers)).values())) == {(*range(1, 6), *range(1, 6))}


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


# ---- the broker goes away


@pytest.fixture
async def tansu(stack_home: Path) -> AsyncIterator[Any]:
    """A broker of the test's own that forgets everything when it stops."""
    broker = tansu_in(stack_home)
    await broker.start()
    yield broker
    await broker.stop()


async def test_what_an_emptied_broker_forgot_is_said_again_and_heard_once(
    replica: Replica, database: Database, toy_databases: CreateToyDatabase, tansu: Any
) -> None:
    listener = await toy_databases()
    async with running(toy_service(hears={}), database.settings(tansu.servers)) as speaker:
        await say(replica, 60)
        await eventually(true(lambda: speaker.relay.cursor == 120))  # on the broker, and nobody has heard it
        await tansu.kill()
        await tansu.start()
        async with running(counting_service(CreditApproved), listener.settings(tansu.servers)) as process:
            await eventually(lambda: _counted(process, 60))
            await tansu.kill()
            await say(replica, 60, start=60)  # orders are taken while the broker is away
            await eventually(true(lambda: speaker.relay.backlog))
            await tansu.start()
            await eventually(lambda: _counted(process, 120))
            assert set((await counts(process.pool)).values()) == {1}
            heard = await counted_in_order(process.pool)
    for customer in range(12):
        assert [o for o in heard if int(o[2:]) % 12 == customer] == [f"O-{n}" for n in range(customer, 120, 12)]
