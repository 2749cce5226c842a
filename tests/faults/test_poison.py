"""Poison under load: what cannot be processed waits with all that depends on it, the others go on, and repair heals."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from shared.contracts.catalogue import INBOUND_TOPICS
from shared.contracts.inbound import Order
from shared.errors import ConflictError
from tests.faults.harness import ORDERS, SEED, Case, System, case, until
from tests.faults.outside import orders_of
from tests.faults.refusing import is_too_large, with_too_large
from tests.faults.saboteur import DEFECT

pytestmark = pytest.mark.faults

POISONED = 5
GARBAGE = 300
LETTERS_MAX = 1_000

Letter = dict[str, Any]
"""A dead letter as `o2c dead-letters list` tells it."""


async def test_messages_that_make_a_decider_raise_wait_with_those_behind_them_and_go_on_in_order_after_repair(
    system: System,
) -> None:
    behind = _some_customers_orders(with_too_large(orders_of("defect", ORDERS, SEED)), POISONED)
    held = [order.order_id for its in behind.values() for order in its]
    defect = system.home / "trapdoors" / f"order.{DEFECT}"
    defect.write_text("".join(f"order-{its[0].order_id} ConfirmOrder\n" for its in behind.values()))
    async with case(system, "defect") as run:
        run.note(f"the confirmation of {POISONED} orders makes the decider of order raise")
        await _all_but(run, held)
        letters = await until(lambda: _letters_once(system, behind, POISONED), "what depends on them waits")
        parked = _parked_and_behind_them_waiting(letters)
        assert all("a defect that ConfirmOrder meets" in letter["reason"] for letter in parked)
        run.note(f"{len(parked)} parked, {len(letters) - len(parked)} waiting behind them; all others are done")
        await _retried_in_vain(system, letters)
        assert await _placed_only(system, held), "nothing of what waits has had an effect"
        defect.unlink()
        await _retry_all(system)
        run.note("repaired and retried")
        assert {letter["message_id"] for letter in letters} <= await _causes_in_order(run, letters)
        await run.end()


def _some_customers_orders(orders: Iterable[Order], number: int) -> dict[str, list[Order]]:
    """The later half of the orders of so many customers: they wait when the first of them, which is approved, cannot go
    on."""
    of_customer: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        of_customer[order.customer_id].append(order)
    later = {customer: its[len(its) // 2 :] for customer, its in of_customer.items() if len(its) > 2}
    several = sorted(customer for customer, its in later.items() if not is_too_large(its[0]))
    return {customer: later[customer] for customer in Random(SEED).sample(several, number)}


async def _retried_in_vain(system: System, letters: Sequence[Letter]) -> None:
    """Before the repair: what is parked fails again, and nothing is taken before it."""
    for its in _by_stream(letters).values():
        tried = await _retry(system, its[0])
        assert (tried["done"], its[0]["reason"]) == (0, tried["stopped_by"])
        with pytest.raises(ConflictError, match="waits behind"):
            await _retry(system, its[1])


async def _placed_only(system: System, order_ids: Sequence[str]) -> bool:
    found = await system.sql("order", "SELECT status FROM orders WHERE order_id = ANY($1)", order_ids)
    return [status for (status,) in found] == ["placed"] * len(order_ids)


async def test_orders_whose_rows_cannot_be_written_wait_while_all_others_are_paid_and_go_on_after_repair(
    system: System,
) -> None:
    orders = with_too_large(orders_of("poison", ORDERS, SEED))
    behind = _some_customers_orders(orders, 2)
    held = [order.order_id for its in behind.values() for order in its]
    invoiced = [o.order_id for o in orders if o.order_id not in held and not is_too_large(o)]
    *victims, unseen, unseen_too = Random(SEED).sample(invoiced, 5)
    await _break(system, "order", "orders", [its[0].order_id for its in behind.values()], "status = 'placed'")
    await _break(system, "billing", "invoices", victims, "false")
    await _break(system, "analytics", "order_shipments", [unseen, unseen_too], "false")
    async with case(system, "poison") as run:
        run.note(f"rows of {len(behind)} orders, invoices of {len(victims)}, shipments of 2 others cannot be written")
        await _all_but(run, [*held, *victims])
        in_all = len(behind) + len(victims) + 2
        letters = await until(lambda: _letters_once(system, behind, in_all), "what depends on them waits")
        parked = _parked_and_behind_them_waiting(letters)
        assert all("poison" in letter["reason"] for letter in parked)
        run.note(f"{len(parked)} parked, {len(letters) - len(parked)} waiting behind them")
        shipped = "SELECT order_id FROM order_shipments WHERE order_id = ANY($1) GROUP BY 1"
        assert not await system.sql("analytics", shipped, [unseen, unseen_too])
        for service, table in (("billing", "invoices"), ("order", "orders"), ("analytics", "order_shipments")):
            await system.sql(service, f"ALTER TABLE {table} DROP CONSTRAINT poison")
        await _retry_all(system)
        run.note("repaired and retried")
        with_facts = [letter for letter in letters if letter["service"] != "analytics"]
        assert {letter["message_id"] for letter in with_facts} <= await _causes_in_order(run, with_facts)
        assert len(await system.sql("analytics", shipped, [unseen, unseen_too])) == 2
        await run.end()


async def _break(system: System, service: str, table: str, order_ids: list[str], unless: str) -> None:
    """From now on rows of these orders cannot be written unless they look so."""
    listed = ", ".join(f"'{order_id}'" for order_id in order_ids)
    check = f"order_id NOT IN ({listed}) OR {unless}"
    await system.sql(service, f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK ({check}) NOT VALID")


# ---- letters


async def _letters_once(system: System, behind: Mapping[str, Sequence[Order]], parked: int) -> list[Letter]:
    """The open letters, once there is one for each of these orders, by customer, and so many are parked.

    What credit says of the orders of one customer is one stream.
    """
    letters = await _open_letters(system)
    streams = _by_stream(letters)
    held = all(len(streams[f"credit-account-{customer}"]) == len(its) for customer, its in behind.items())
    return letters if held and sum(letter["status"] == "parked" for letter in letters) == parked else []


async def _open_letters(system: System) -> list[Letter]:
    listed = await system.o2c("dead-letters", "list", "--json", "--limit", str(LETTERS_MAX))
    letters: list[Letter] = json.loads(listed)["dead_letters"]
    return letters


def _by_stream(letters: Iterable[Letter]) -> defaultdict[str, list[Letter]]:
    """The letters of each stream, oldest first. In these cases no two services hold letters of the same stream."""
    streams: defaultdict[str, list[Letter]] = defaultdict(list)
    for letter in sorted(letters, key=lambda letter: int(letter["id"])):
        streams[letter["stream"]].append(letter)
    return streams


def _parked_and_behind_them_waiting(letters: Sequence[Letter]) -> list[Letter]:
    """The first of each stream, which is parked; what came behind it waits, and there are some that do."""
    for stream, its in _by_stream(letters).items():
        assert [each["status"] for each in its] == ["parked", *["waiting"] * (len(its) - 1)], stream
    parked = [letter for letter in letters if letter["status"] == "parked"]
    assert len(parked) < len(letters), "nothing waits behind what is parked"
    return parked


async def _retry(system: System, letter: Letter) -> dict[str, Any]:
    answer: dict[str, Any] = await system.services.post(letter["service"], f"/dead-letters/{letter['id']}/retry")
    return answer


async def _retry_all(system: System) -> None:
    """As a clerk does: whatever is parked, in the order in which it is listed, until nothing is open any more."""

    async def none_open() -> bool:
        letters = await _open_letters(system)
        for letter in letters:
            if letter["status"] == "parked":
                await _retry(system, letter)
        return not letters

    await until(none_open, "no letter is open")


async def _causes_in_order(run: Case, letters: Iterable[Letter]) -> set[str]:
    """The messages of the letters' streams that led to facts of this case; asserts that they did so as they were said.

    A message is `stream@version`, and facts are stored in the order in which they came about.
    """
    found: set[str] = set()
    for service in {letter["service"] for letter in letters}:
        streams = {letter["stream"] for letter in letters if letter["service"] == service}
        causes = [cause for (cause,) in await run.system.sql(service, _CAUSES, run.heads[service], list(streams))]
        for stream in streams:
            versions = [int(cause.removeprefix(f"{stream}@")) for cause in causes if cause.startswith(f"{stream}@")]
            assert versions == sorted(versions), f"{service} has worked {stream} in the order {versions}"
        found.update(causes)
    return found


_CAUSES = r"""
SELECT cause FROM (
    SELECT notification_id, convert_from(state, 'UTF8')::jsonb -> 'm' ->> 'cause' AS cause
    FROM events WHERE notification_id > $1
) AS caused WHERE regexp_replace(cause, '@\d+$', '') = ANY ($2) ORDER BY notification_id
"""


async def _all_but(run: Case, victims: list[str]) -> None:
    world, refusing = run.outside.world, run.outside.refusing

    async def done() -> bool:
        ended = world.progress.completed | world.progress.short | refusing.refused
        return len(ended - set(victims)) == run.orders - len(victims)

    await until(done, "all other orders in their end", 200)


# ---- garbage


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
