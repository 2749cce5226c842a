"""Mutation checks: with any one guard taken out on purpose, the invariant that it guards is seen to break.

Each scene asserts one promise on a real database and a real broker. It is played twice: as it is, when the promise
must hold, and with the guard broken, when the very same assertion must fail.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from faststream import AckPolicy

from shared.contracts.inbound import INBOUND_ORDERS, Customer
from shared.errors import ConcurrencyError
from shared.eventsourced import consumer as consuming
from shared.eventsourced import unit_of_work
from shared.eventsourced.decider import To
from shared.eventsourced.hearing import Heard, Translator
from shared.eventsourced.policy import no_reactions
from shared.eventsourced.reading import Received
from shared.eventsourced.relay import Relay
from shared.eventsourced.store import Store
from shared.eventsourced.writing import Draft, Position, write_batch
from shared.kafka import CONTROL_TOPIC, dead_letter_topic, ensure_topics
from tests.connected.support_engine import (
    Database,
    OpenReplica,
    Replica,
    counting_service,
    counts,
    eventually,
    everything_on,
    send,
    subscribed,
    waiting_to_write,
)
from tests.engine.records import Record, order_record
from tests.engine.toy import SAYS, AddCoins, Count, jar, tally, toy_service

pytestmark = pytest.mark.faults

TOPIC = "o2c.credit.events"
Mutation = Callable[[pytest.MonkeyPatch], None]


class Broken(AssertionError):
    """The promise of a scene does not hold."""


def promise(holds: object, what: str) -> None:
    """The one assertion of a scene."""
    if not holds:
        raise Broken(what)


async def guarded(scene: Callable[[], Awaitable[None]], broken: bool) -> None:
    """The scene keeps its promise; with its guard broken it must not."""
    if broken:
        with pytest.raises(Broken):
            await scene()
    else:
        await scene()


both = pytest.mark.parametrize("broken", [False, True], ids=["guarded", "guard broken"])


# ---- acknowledging only after the commit


def _count_customer(message: Customer, _: Any) -> Sequence[To[Any]]:
    return [To(tally, message.customer_id, Count(message.customer_id))]


def _customer(n: int) -> Record:
    body = b'{"customer_id":"C-%d","name":"N","country":"GB","currency":"GBP"}' % n
    headers = (("ce_type", b"o2c.inbound.Customer.v1"), ("ce_id", b"C-%d" % n))
    return Record(body, headers, topic=INBOUND_ORDERS.topic, key=b"C-%d" % n)


@both
async def test_acknowledging_before_the_commit_loses_what_a_crash_interrupts(
    open_replica: OpenReplica, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    service = replace(counting_service(), hears={Customer: _count_customer})
    replica, servers = await open_replica(service), await fresh_broker()
    if broken:
        monkeypatch.setattr(consuming, "AckPolicy", _AllFirst)

    async def scene() -> None:
        await ensure_topics(servers, {INBOUND_ORDERS.topic}, partitions=1, replication=1)
        await send(servers, [_customer(n) for n in range(20)])
        crashed = asyncio.Event()

        async def crash(records: list[Any]) -> None:
            crashed.set()
            await asyncio.Event().wait()  # a process that dies here comes no further

        async with subscribed(servers, INBOUND_ORDERS.topic, crash):
            await asyncio.wait_for(crashed.wait(), 30)
        await send(servers, [_customer(20)])
        async with subscribed(servers, INBOUND_ORDERS.topic, replica.consumer.handle):
            await eventually(lambda: _counted(replica, "C-20"))
        promise(await counts(replica.pool) == {f"C-{n}": 1 for n in range(21)}, "every message has its effect once")

    await guarded(scene, broken)


class _AllFirst:
    NACK_ON_ERROR = ACK_FIRST = AckPolicy.ACK_FIRST


async def _counted(replica: Replica, key: str) -> bool:
    return key in await counts(replica.pool)


# ---- deduplication by position


def _deaf_to_positions(received: Sequence[Received], positions: dict[Position, int], translator: Translator) -> Heard:
    works = [translator.work(item) for item in received]
    return Heard([work for work in works if work is not None])


@both
async def test_without_deduplication_by_position_a_redelivered_message_has_its_effect_twice(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    replica = await open_replica(counting_service())
    if broken:
        monkeypatch.setattr(consuming, "sift", _deaf_to_positions)

    async def scene() -> None:
        batch = [order_record(n) for n in (1, 2, 3)]
        await replica.consumer.handle(batch)
        await replica.consumer.handle(batch)
        promise(set((await counts(replica.pool)).values()) == {1}, "every message has its effect once")

    await guarded(scene, broken)


@both
async def test_without_proof_of_positions_two_replicas_hear_a_message_twice(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    one, zombie = await open_replica(counting_service()), await open_replica(counting_service())
    if broken:

        async def believe(connection: Any, draft: Draft) -> Any:
            return await write_batch(connection, replace(draft, positions={}))

        monkeypatch.setattr(unit_of_work, "write_batch", believe)

    async def scene() -> None:
        await zombie.consumer.handle([order_record(1)])
        await one.consumer.handle([order_record(1), order_record(2)])
        await zombie.consumer.handle([order_record(2)])
        promise(set((await counts(one.pool)).values()) == {1}, "every message has its effect once")

    await guarded(scene, broken)


# ---- one writer at a time


@both
async def test_without_the_append_lock_the_relay_never_says_what_commits_late(
    open_replica: OpenReplica, database: Database, fresh_broker: Any, broken: bool
) -> None:
    alone = toy_service(reactions=no_reactions)  # two writers who share no stream
    slow, quick = await open_replica(alone), await open_replica(alone)
    servers = await fresh_broker()
    if broken:
        await slow.pool.execute("CREATE OR REPLACE FUNCTION lock_store() RETURNS void LANGUAGE sql AS 'SELECT'")

    async def scene() -> None:
        appended, release = asyncio.Event(), asyncio.Event()
        work = unit_of_work.UnitOfWork(slow.service, slow.pool, slow.store, on_commit=lambda appended: None)

        async def linger(connection: Any) -> None:
            appended.set()
            await release.wait()

        late = unit_of_work.Batch([unit_of_work.Work([To(jar, "C-1", AddCoins("C-1", "late", 1))])], finish=linger)
        relay = _relay(database, servers)
        async with _led(relay):
            committing = asyncio.create_task(work.run(late))
            await appended.wait()
            early = asyncio.create_task(quick.do(To(jar, "C-2", AddCoins("C-2", "early", 1))))
            if broken:  # it does not wait for the first writer, and the relay passes by
                await early
                await eventually(lambda: _said_at_least(servers, 1))
            else:
                await eventually(lambda: waiting_to_write(quick.pool, 1))
            release.set()
            await asyncio.gather(committing, early)
            await eventually(lambda: _at_the_end(relay, quick))
        promise(await _said(servers) == {"jar-C-1@1", "jar-C-2@1"}, "every public fact is said")

    await guarded(scene, broken)


# ---- the cursor moves after the broker has acknowledged


@both
async def test_moving_the_relays_cursor_before_sending_loses_what_a_crash_interrupts(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    servers = await fresh_broker()
    spoken = await _twelve_facts(replica)
    send_now = Relay._send
    crashes = iter([True])

    async def crash_first(self: Relay, producer: Any, topic: str, messages: Any) -> None:
        if messages and topic == TOPIC and next(crashes, False):
            raise ConnectionError("the process dies before anything is sent")
        await send_now(self, producer, topic, messages)

    monkeypatch.setattr(Relay, "_send", crash_first)
    if broken:
        forward = Relay._forward

        async def book_first(self: Relay, connection: Any, producer: Any) -> bool:
            head = await connection.fetchval("SELECT max(notification_id) FROM events")
            await connection.execute("UPDATE relay SET cursor = $1", min(head, self.cursor + self._records_max))
            return await forward(self, connection, producer)

        monkeypatch.setattr(Relay, "_forward", book_first)

    async def scene() -> None:
        relay = _relay(database, servers)
        async with _led(relay):
            await eventually(lambda: _at_the_end(relay, replica))
        promise(await _said(servers) == spoken, "every public fact is said")

    await guarded(scene, broken)


@both
async def test_moving_the_relays_cursor_before_the_broker_has_acknowledged_loses_what_an_end_interrupts(
    replica: Replica, database: Database, fresh_broker: Any, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Who is told to end stores its cursor: for whoever leads next."""
    servers = await fresh_broker()
    spoken = await _twelve_facts(replica)
    send_now, sending = Relay._send, asyncio.Event()

    async def hang_first(self: Relay, producer: Any, topic: str, messages: Any) -> None:
        if messages and topic == TOPIC and not sending.is_set():
            if broken:
                self.cursor = self._head
            sending.set()
            await asyncio.Event().wait()
        await send_now(self, producer, topic, messages)

    monkeypatch.setattr(Relay, "_send", hang_first)

    async def scene() -> None:
        async with _led(_relay(database, servers)):
            await asyncio.wait_for(sending.wait(), 30)
        relay = _relay(database, servers)
        async with _led(relay):
            await eventually(lambda: _at_the_end(relay, replica))
        promise(await _said(servers) == spoken, "every public fact is said")

    await guarded(scene, broken)


async def _twelve_facts(replica: Replica) -> set[str]:
    """Record a public fact of each of twelve customers; the ids that the messages must have."""
    for n in range(12):
        await replica.do(To(jar, f"C-{n}", AddCoins(f"C-{n}", f"O-{n}", 1)))
    return {f"jar-C-{n}@1" for n in range(12)}


def _relay(database: Database, servers: str) -> Relay:
    async def topics() -> None:
        wanted = {TOPIC, CONTROL_TOPIC, dead_letter_topic("credit")}
        await ensure_topics(servers, wanted, partitions=4, replication=1)

    return Relay("credit", SAYS, database.dsn, servers, topics, records_max=50, poll_ms=20, heads_seconds=0.5)


@asynccontextmanager
async def _led(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _at_the_end(relay: Relay, replica: Replica) -> bool:
    last: int = await replica.pool.fetchval("SELECT max(notification_id) FROM events")
    return relay.leads and relay.cursor >= last


async def _said(servers: str) -> set[str]:
    return {dict(record.headers)["ce_id"].decode() for record in await everything_on(servers, TOPIC)}


async def _said_at_least(servers: str, count: int) -> bool:
    return len(await _said(servers)) >= count


# ---- cached states are proven


@both
async def test_a_cache_that_is_believed_decides_on_what_another_writer_has_outdated(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    one, other = await open_replica(), await open_replica()
    if broken:
        load = Store.load

        async def believe(self: Store, connection: Any, wanted: Any) -> Any:
            known = {stream: self.cache.get(stream) for stream in wanted}
            rest = {stream: wanted[stream] for stream, entry in known.items() if entry is None}
            found = await load(self, connection, rest) if rest else {}
            return {stream: entry or found[stream] for stream, entry in known.items()}

        monkeypatch.setattr(Store, "load", believe)

    async def scene() -> None:
        await one.do(To(jar, "C-1", AddCoins("C-1", "O-1", 5)))
        await other.do(To(jar, "C-1", AddCoins("C-1", "O-2", 7)))
        try:
            await one.do(To(jar, "C-1", AddCoins("C-1", "O-3", 1)))
        except ConcurrencyError:
            promise(False, "a state that another writer has outdated is brought forward")
        state, version = await one.queue.state(jar, "C-1")
        promise((state.total_minor, version) == (13, 3), "the state is what all writers wrote")

    await guarded(scene, broken)
