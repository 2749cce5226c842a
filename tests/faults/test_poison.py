"""Poison under load: what cannot be processed waits with all that depends on it, the others go on, and repair heals."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from shared.contracts.catalogue import INBOUND_TOPICS
from tests.faults.harness import ORDERS, SEED, Case, System, case, until
from tests.faults.outside import orders_of

pytestmark = pytest.mark.faults

POISONED = 5
GARBAGE = 300


async def test_orders_whose_rows_cannot_be_written_wait_while_all_others_are_paid_and_go_on_after_repair(
    system: System,
) -> None:
    orders = orders_of("poison", ORDERS, SEED)
    victims = [order.order_id for order in Random(SEED).sample(orders, POISONED)]
    # Before the first order comes: an order service that had taken them could only wait with all of their customers'.
    await _break(system, "billing", "invoices", victims[:3])
    await _break(system, "order", "orders", victims[3:])
    async with case(system, "poison") as run:
        run.note(f"rows of {POISONED} orders cannot be written")
        await _all_but(run, victims)
        letters = await _open_letters(system)
        assert {letter["status"] for letter in letters} <= {"parked", "waiting"}
        assert all("poison" in letter["reason"] for letter in letters if letter["status"] == "parked")
        parked = [letter["ref"] for letter in letters if letter["status"] == "parked"]
        run.note(f"{len(parked)} parked, {len(letters) - len(parked)} waiting behind them")
        for service, table in (("billing", "invoices"), ("order", "orders")):
            await system.sql(service, f"ALTER TABLE {table} DROP CONSTRAINT poison")
        for ref in sorted(parked, key=lambda ref: int(ref.partition("/")[2])):
            await system.o2c("dead-letters", "retry", ref)
        run.note("repaired and retried")
        await run.end()


async def _break(system: System, service: str, table: str, order_ids: list[str]) -> None:
    listed = ", ".join(f"'{order_id}'" for order_id in order_ids)
    await system.sql(service, f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK (order_id NOT IN ({listed})) NOT VALID")


async def _all_but(run: Case, victims: list[str]) -> None:
    world = run.outside.world

    async def done() -> bool:
        ended = world.progress.completed | world.progress.short
        return len(ended - set(victims)) == run.orders - len(victims)

    await until(done, "all other orders in their end", 200)


async def _open_letters(system: System) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(await system.o2c("dead-letters", "list", "--json"))["dead_letters"]
    return letters


async def test_garbage_on_every_inbound_topic_stops_nobody_and_each_piece_is_accounted_for(system: System) -> None:
    async with case(system, "garbage") as run:
        before = await _letters(system)
        sent = 0
        async with AIOKafkaProducer(bootstrap_servers=system.servers, acks="all") as producer:
            async for n in run.moments(10):
                for _ in range(GARBAGE // 10):
                    topic = run.random.choice(INBOUND_TOPICS)
                    value, headers = _garbage(run.random, sent)
                    await producer.send_and_wait(topic, value, key=b"garbage-%d" % sent, headers=headers)
                    sent += 1
                run.note(f"{sent} pieces of garbage") if n == 9 else None

        async def all_parked() -> bool:
            return await _letters(system) - before == sent

        await until(all_parked, f"{sent} letters more than {before}")
        await _drop_all(system)
        await run.end()


async def _letters(system: System) -> int:
    count = 0
    for service in ("order", "fulfillment", "receivables"):
        count += (await system.sql(service, "SELECT count(*) FROM dead_letters WHERE status = 'parked'"))[0][0]
    return count


async def _drop_all(system: System) -> None:
    while letters := await _open_letters(system):
        await system.o2c("dead-letters", "drop", *(letter["ref"] for letter in letters))


def _garbage(random: Random, number: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A record that nothing can come of, each unlike all others."""
    headers = [
        ("ce_type", b"o2c.inbound.Order.v1"),
        ("ce_id", b"garbage-%d" % number),
        ("ce_source", b"/garbage"),
        ("ce_specversion", b"1.0"),
        ("ce_time", datetime.now(UTC).isoformat().encode()),
    ]
    match number % 6:
        case 0:
            return random.randbytes(200), [("garbage", b"%d" % number)]
        case 1:
            return random.randbytes(200), headers
        case 2:
            return b'{"order_id":"G%d","lines":[{"sku":' % number, headers
        case 3:
            return b"[" * 5_000 + b"%d" % number, headers
        case 4:
            return b'{"order_id":%d,"customer_id":null,"quantity":-1}' % number, [
                ("ce_type", b"\xff\xfe"),
                *headers[1:],
            ]
        case _:
            return b"{}", [("ce_type", b"o2c.order.OrderPlaced.v1"), *headers[1:]]
