"""A minute of records that should not be, on every topic that a service hears, beside good orders.

Nothing crashes and no partition stands still: the good orders come to their end. Every record is accounted for, by its
place on Kafka: a dead letter, taken because it is valid by chance, or passed over by a rule that is known beforehand.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from o2c.bench.orders import customers, generate
from o2c.outside.clerk import Clerk
from o2c.outside.plan import DEMO_SHARES
from o2c.outside.world import Course, World
from o2c.services import Services
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS
from shared.kafka import CONTROL_TOPIC
from shared.settings import Settings
from shared.values import evolved
from tests.e2e.system import System, eventually_true
from tests.fuzz.letters import drop_letters
from tests.fuzz.pieces import MARK, Fate, Listening, Piece, Pieces, key_of, loosely, on_lane

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("O2C_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("O2C_FUZZ_SEED") or Random().randrange(1_000_000))
"""Makes the same pieces again; printed by every run."""
ORDERS_PER_SECOND = 15
PIECES_PER_SECOND = 25
AFTER_SECONDS_MAX = 90.0
"""How long the good orders may take after the last piece."""
STREAMS = {
    "o2c.inbound.Order.v1": ("order", "order_id"),
    "o2c.inbound.Customer.v1": ("customer", "customer_id"),
    "o2c.inbound.Payment.v1": ("payment", "payment_id"),
    "o2c.inbound.Receipt.v1": ("receipt", "receipt_id"),
    "o2c.inbound.Shipment.v1": ("fulfillment", "order_id"),
}
"""Type → the stream that a valid message leads to: its name, and the field with its key."""

Place = tuple[str, int, int]
"""(topic, partition, offset)"""
Lane = tuple[str, int]
"""(speaker, lane)"""


async def test_every_bad_record_is_accounted_for_while_good_orders_come_to_their_end(system: System) -> None:
    print(f"seed {SEED} (repeat with O2C_FUZZ_SEED={SEED})")
    world = _good_orders(max(int(SECONDS * ORDERS_PER_SECOND), 20))
    await _warm_up(system)
    before = await _Stand.of(system)
    pieces = Pieces(Random(SEED), before.heads, before.partitions, forgeries=False)
    async with _playing(system, world) as playing:
        sent = await _send(system, pieces)
        assert await asyncio.wait_for(playing, AFTER_SECONDS_MAX), world.progress.missing()
    await system.rests()
    assert {topic for topic, _, _ in sent} >= set(INBOUND_TOPICS), "a topic was spared"
    after = await _Stand.of(system)
    assert after.pids == before.pids
    wrong = [each for service in system.clients for each in await _unaccounted(system, service, sent, before)]
    assert not wrong, wrong[:20]
    listening = Listening()
    for service, taken in after.records.items():
        ends = sum(after.ends[t] - before.ends[t] for t, hear in listening.topics.items() if service in hear)
        # A member that stalls gives its partitions away, and what it had in hand is taken once more.
        assert taken - before.records[service] >= ends, f"{service} has not taken every record"
    await drop_letters(system)
    await system.o2c("verify")
    what = Counter(piece.what for piece in sent.values())
    print(f"{len(world.orders)} orders beside {len(sent)} pieces: {dict(what)}")


async def test_a_perfect_forgery_is_said_by_the_service_it_was_made_in_the_name_of(system: System) -> None:
    """Listeners have then heard more than the service has said: it writes nothing more until a person has looked."""
    await drop_letters(system)
    lane, key = 11, key_of(11)
    head = (await _heads(system)).get(("order", lane), 0)
    headers = [
        ("ce_type", b"o2c.order.Nonsense.v1"),
        ("ce_id", b"nonsense@1"),
        ("ce_source", b"/o2c/order"),
        ("ce_lane", b"%d" % lane),
        ("ce_lanesequence", b"%d" % (head + 1)),
    ]
    await system.send(SPEAKERS["order"].topic, b"{}", headers, key)

    async def refuses() -> bool:
        return "others have heard more" in (await system.get("order", "/status"))["missing"].get("history", "")

    await eventually_true(refuses)
    customer = {"name": "Hidden", "country": "GB", "currency": "GBP"}
    assert (await system.clients["order"].put(f"/customers/{key.decode()}", json=customer)).status_code == 503
    verdict = (await system.o2c("verify", "--json", "--wait", "2", code=1)).json
    failed = {check["name"] for check in verdict["checks"] if not check["ok"]}
    assert failed == {"every_position_is_reached", "every_store_is_the_one_that_spoke"}


def _good_orders(number: int) -> World:
    """Orders whose customers and articles are in lanes where nothing is forged."""
    orders = [
        evolved(
            order,
            order_id=f"GOOD-{order.order_id}",
            customer_id=on_lane(f"GOOD-{order.customer_id}"),
            lines=tuple(evolved(line, sku=on_lane(f"GOOD-{line.sku}")) for line in order.lines),
        )
        for order in generate(number, seed=SEED)
    ]
    buyers = [evolved(each, customer_id=on_lane(f"GOOD-{each.customer_id}")) for each in customers(number)]
    course = Course(SEED, DEMO_SHARES, 800, in_flight_max=300, rate=ORDERS_PER_SECOND, from_beginning=False)
    return _World(buyers, orders, course)


class _World(World):
    """Outside listeners of ours are not asked to bear what our services must."""

    async def _play(self, publisher: Any, listener: Any, *more: Any) -> bool:
        hear = listener.poll

        async def poll() -> list[Any]:
            return [record for record in await hear() if MARK not in dict(record.headers)]

        listener.poll = poll
        return await super()._play(publisher, listener, *more)


@asynccontextmanager
async def _playing(system: System, world: World) -> Any:
    async with Services(system.http_urls) as services:
        world.clerk = Clerk(services)
        task = asyncio.create_task(world.run(system.kafka_servers, seconds_max=SECONDS + AFTER_SECONDS_MAX))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _warm_up(system: System) -> None:
    """Something has been said, so that there is something to repeat."""
    for n in range(8):
        customer = {"name": "Warm", "country": "GB", "currency": "GBP"}
        url = f"/customers/{on_lane(f'WARM-{n}')}"
        assert (await system.clients["order"].put(url, json=customer)).is_success
    await system.rests()


@dataclass(frozen=True)
class _Stand:
    """How things stand at rest."""

    pids: Mapping[str, Any]
    heads: Mapping[Lane, int]
    partitions: Mapping[str, int]
    ends: Mapping[str, int]
    records: Mapping[str, int]
    letters: Mapping[str, int]

    @classmethod
    async def of(cls, system: System) -> "_Stand":
        ends = await _ends(system)
        topics = {partition.topic for partition in ends}
        return cls(
            pids={name: service.identity for name, service in system.stack.services.items()},
            heads=await _heads(system),
            partitions={topic: sum(p.topic == topic for p in ends) for topic in topics},
            ends={topic: sum(end for p, end in ends.items() if p.topic == topic) for topic in topics},
            records={name: status["consumer"]["records"] for name, status in (await system.statuses()).items()},
            letters={name: await system.last_letter(name) for name in system.clients},
        )


async def _ends(system: System) -> dict[TopicPartition, int]:
    wanted = [*INBOUND_TOPICS, *(speaker.topic for speaker in SPEAKERS.values()), CONTROL_TOPIC]
    async with AIOKafkaConsumer(bootstrap_servers=system.kafka_servers) as consumer:
        await consumer._client.force_metadata_update()
        topics = sorted(await consumer.topics() & set(wanted))
        found = [TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()]
        return dict(await consumer.end_offsets(found))


async def _send(system: System, pieces: Pieces) -> dict[Place, Piece]:
    """Pieces for as long as it shall go on; each with the place that the broker gave it."""
    sent: dict[Place, Piece] = {}
    producer = AIOKafkaProducer(
        bootstrap_servers=system.kafka_servers, acks="all", max_request_size=2_000_000, linger_ms=0
    )
    async with producer:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            made = [pieces.next() for _ in range(5)]
            waits = [await _sending(producer, piece) for piece in made]
            for piece, record in zip(made, await asyncio.gather(*waits), strict=True):
                sent[record.topic, record.partition, record.offset] = piece
            await asyncio.sleep(5 / PIECES_PER_SECOND)
    return sent


async def _sending(producer: AIOKafkaProducer, piece: Piece) -> Any:
    return await producer.send(
        piece.topic,
        piece.value,
        key=piece.key,
        headers=piece.headers,
        partition=piece.partition,
        timestamp_ms=piece.timestamp_ms,
    )


async def _unaccounted(system: System, service: str, sent: Mapping[Place, Piece], before: _Stand) -> list[str]:
    """What became of pieces at a service that should not have, and letters of records that are no pieces."""
    rows = await _sql(
        system,
        service,
        "SELECT topic, partition, record_offset, reason FROM dead_letters WHERE id > $1",
        before.letters[service],
    )
    letters = {(topic, partition, offset): reason for topic, partition, offset, reason in rows}
    assert len(letters) == len(rows), f"{service} has two letters of one record"
    wrong = [f"{service}: {place} was good: {letters[place]}" for place in letters.keys() - sent.keys()]
    for place, piece in sent.items():
        fate, parked = piece.fates.get(service), place in letters
        if fate is Fate.EITHER and not parked:
            parked = not await _taken(system, service, piece)  # neither parked nor taken: lost
            fate = Fate.NOTHING
        if parked != (fate is Fate.LETTER or (fate is Fate.EITHER and parked)):
            wrong.append(f"{service}: {piece.what} at {place}: {letters.get(place, 'no letter')}; {piece.headers}")
    return wrong


async def _taken(system: System, service: str, piece: Piece) -> bool:
    """Whether the stream is there that this message, if it is valid, leads to."""
    body = loosely(piece.value)
    kind = (dict(piece.headers).get("ce_type") or b"").decode()
    if not kind:
        kind, body = body["type"], body["data"]
    name, field = STREAMS[kind]
    rows = await _sql(system, service, "SELECT 1 FROM events WHERE originator_id = $1 LIMIT 1", f"{name}-{body[field]}")
    return bool(rows)


async def _heads(system: System) -> dict[Lane, int]:
    heads = {}
    for speaker in SPEAKERS:
        for lane, head in await _sql(system, speaker, "SELECT lane, head FROM lanes"):
            heads[speaker, lane] = head
    return heads


def _database(system: System, service: str) -> str:
    return Settings(database_url=system.stack.database_url).database_of(service)


async def _sql(system: System, service: str, statement: str, *arguments: Any) -> Sequence[Any]:
    connection = await asyncpg.connect(_database(system, service))
    try:
        rows: Sequence[Any] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()
