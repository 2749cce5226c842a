"""Kafka killed, unheard, emptied, robbed of topics and records, and given more partitions, under load."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from o2c.settling import at_rest
from o2c.stack import SERVICES, Kafka
from o2c.verify.engine import every_position_is_reached, everything_is_published
from o2c.verify.stores import open_stores
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS
from shared.eventsourced.standing_by import PATIENCE_SECONDS
from tests.faults.harness import SETTLE_SECONDS_MAX, Case, System, case, until
from tests.faults.kafka_faults import delete_records, delete_topics, lose_acknowledgements, raise_partitions
from tests.faults.said import TOPICS
from tests.support.kafka_client import partitions_of, topics_of

pytestmark = pytest.mark.faults

AWAY_SECONDS = 62.0
"""Longer than every time-out of the clients: requests, sessions, metadata."""
LOST_IN_A_ROW_MAX = 3
PARTITIONS, PARTITIONS_RAISED = 4, 12
ALLOWED = 0.2
"""This share of the orders may be sent before a strike at what billing hears, and as much while billing is stopped."""


async def test_a_broker_killed_and_restarted_under_load_loses_and_doubles_nothing(
    system: System, on_kafka: None
) -> None:
    async with case(system, "broker-killed") as run:
        async for _ in run.moments(2):
            await system.stack.kill("broker")
            run.note("killed the broker")
        await run.end()


async def test_a_broker_away_for_a_minute_under_load_is_waited_for_and_what_came_meanwhile_is_said(
    system: System, on_kafka: None
) -> None:
    async with case(system, "broker-away") as run:
        await run.reached(run.random.uniform(0.2, 0.5))
        processes = {name: system.pid(name) for name in SERVICES}
        begun = time.monotonic()
        # Frozen, not killed: connections stay open and nothing is ever answered, which is the worse way to be away.
        with system.stopped(system.pid("broker")):
            await until(lambda: _all_miss_kafka(system), "every service says that Kafka is away", AWAY_SECONDS)
            run.note(f"broker away, said by all after {time.monotonic() - begun:.0f} s")
            assert await _ready(system) == set(SERVICES), "a broker that is away turns no caller away"
            await _register_customers(system)
            await asyncio.sleep(AWAY_SECONDS - (time.monotonic() - begun))  # the fault itself is a length of time
        run.note("broker back")
        await system.back()
        assert {name: system.pid(name) for name in SERVICES} == processes, "a broker that is away ends no service"
        await run.end()


async def test_a_database_and_a_broker_that_are_away_together_leave_nobody_deaf(system: System, on_kafka: None) -> None:
    """Who hears alone asks to join anew when its batch has failed for long: just then nobody knows of its group."""
    async with case(system, "both-away") as run:
        await run.reached(run.random.uniform(0.2, 0.5))
        before = system.stack.services["fulfillment"].log.stat().st_size
        with system.stopped(system.pid("fulfillment")):
            await until(lambda: _unheard(system, "fulfillment", ["order"]), "something waits for fulfillment")
            await system.stack.kill("postgres", restart=False)
        await until(lambda: _says(system, "fulfillment", "consumer waits", before), "its batch fails")
        await system.stack.kill("broker", restart=False)
        run.note("killed the database and the broker")
        await until(lambda: _says(system, "fulfillment", "steps aside", before), "it steps aside", 2 * PATIENCE_SECONDS)
        await system.stack.start("broker")
        await system.stack.start("postgres")
        run.note("both back")
        await system.back()
        await run.end()


async def _says(system: System, service: str, words: str, since: int) -> bool:
    """Whether a service's log has these words behind so many bytes."""
    log = await asyncio.to_thread(system.stack.services[service].log.read_bytes)
    return words.encode() in log[since:]


async def _all_miss_kafka(system: System) -> bool:
    statuses = await system.services.statuses()
    return all({"kafka", "relay", "consumer"} & status.get("missing", {}).keys() for status in statuses.values())


async def _ready(system: System) -> set[str]:
    """Services whose readiness probe is answered with 200."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        asked = {name: await client.get(f"{system.stack.http_url(name)}/health/ready") for name in SERVICES}
    return {name for name, answer in asked.items() if answer.status_code == 200}


async def _register_customers(system: System) -> None:
    """Over HTTP, which needs no broker: durable when answered, and said when the broker is back (`run.end` looks)."""
    url = system.stack.http_url("order")
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for n in range(50):
            body = {"name": f"Customer {n}", "country": "GB", "currency": "GBP"}
            response = await client.put(f"{url}/customers/AWAY-{n}", json=body)
            assert response.status_code in (200, 201), response.text


async def test_acknowledgements_lost_on_the_wire_leave_copies_in_order_and_no_hole(system: System) -> None:
    async with case(system, "acknowledgements-lost") as run:
        restarts = _restarts_of_relays(system)
        victims = [name for name in SPEAKERS for _ in range(2)]  # along the flow: each has something left to say
        lost = 0
        async for n in run.moments(len(victims)):
            number = run.random.randint(1, LOST_IN_A_ROW_MAX)
            door = lose_acknowledgements(system.home, victims[n], number)
            await until(lambda door=door: _gone(door), f"{victims[n]} lost {number} acknowledgements in a row")
            lost += number
            run.note(f"{victims[n]} lost {number}")
        topics = await run.end()
        assert _restarts_of_relays(system) == restarts, "the client itself sends again what was not acknowledged"
        assert topics.copies >= lost, "Kafka had it, and was sent it again"
        assert not topics.leaps, topics.leaps[:10]


def _restarts_of_relays(system: System) -> dict[str, int]:
    return {name: system.stack.services[name].log.read_text().count("relay starts over") for name in SPEAKERS}


async def _gone(door: Path) -> bool:
    return not await asyncio.to_thread(door.exists)


async def test_deleted_topics_and_a_wiped_broker_are_filled_again_by_asking_and_all_of_them_by_replay(
    system: System,
) -> None:
    async with case(system, "broker-wiped", kept=False) as run:
        strikes = [_delete, _wipe] if isinstance(system.stack.broker, Kafka) else [_wipe]
        for n, strike in enumerate(strikes):
            begun = n / len(strikes)
            _allow(run, begun + ALLOWED)
            await run.reached(begun + run.random.uniform(0.2, 0.8) * ALLOWED)
            await system.stack.stop("billing")
            _allow(run, begun + 2 * ALLOWED)  # there is something to hear, however fast everybody was
            behind = await _stands_unheard(system)
            assert run.outside.finished < run.orders, "it strikes under load"
            await strike(run)
            run.note(f"billing had not heard {behind} messages")
            await system.stack.start("billing")
            await until(lambda: _asked(system, "billing"), "billing asks to hear again")
            await _heal(system)
            run.note("all services have heard everything")
            run.note(f"{await system.replay()} messages replayed")
            run.outside.start_over()
        _allow(run, 1.0)
        await run.end()


def _allow(run: Case, share: float) -> None:
    """So much of the case's orders may be sent by now; the rest is there for later strikes."""
    run.outside.allowed = lambda: share * run.orders


async def _stands_unheard(system: System) -> int:
    """Wait until messages that billing, which is stopped, has not heard stand on the topics; how many."""
    speakers, others = ["order", "fulfillment"], [name for name in SERVICES if name != "billing"]
    await until(lambda: _unheard(system, "billing", speakers), "something is said that billing does not hear")
    await until(lambda: _rest(system, others), "the others come to rest", SETTLE_SECONDS_MAX)
    return await _unheard(system, "billing", speakers)


async def _delete(run: Case) -> None:
    """Delete the topics that billing hears, and one more."""
    heard = [SPEAKERS[name].topic for name in ("order", "fulfillment")]
    victims = [*heard, run.random.choice([topic for topic in TOPICS if topic not in heard])]
    await delete_topics(run.system.servers, victims)
    run.note(f"deleted {', '.join(victims)}")
    await until(lambda: _all_there(run.system), "the topics are made again")


async def _wipe(run: Case) -> None:
    stack = run.system.stack
    await stack.kill("broker", restart=False)
    if hasattr(stack.broker, "wipe"):
        stack.broker.wipe()
    await stack.start("broker")
    run.note(f"wiped the broker, which also held {sum(run.heads.values())} facts of earlier cases")


async def _all_there(system: System) -> bool:
    return set(TOPICS) <= set(await topics_of(system.servers))


async def _heal(system: System) -> None:
    """Wait until every service has heard all that the others have said, without anybody's help."""
    await system.back()

    async def healed() -> bool:
        async with open_stores(system.database_of) as stores:
            findings = [await check(stores) for check in (everything_is_published, every_position_is_reached)]
        return not any(finding.offending for finding in findings)

    await until(healed, "every position reached", SETTLE_SECONDS_MAX)


async def test_partitions_raised_under_load_neither_lose_nor_double(system: System, on_kafka: None) -> None:
    async with case(system, "partitions") as run:
        await run.reached(run.random.uniform(0.2, 0.5))
        topics = [*TOPICS, *INBOUND_TOPICS]
        assert await _partitions(system, topics) == dict.fromkeys(topics, PARTITIONS)
        await raise_partitions(system.servers, topics, PARTITIONS_RAISED)
        assert await _partitions(system, topics) == dict.fromkeys(topics, PARTITIONS_RAISED)
        run.note(f"{PARTITIONS} to {PARTITIONS_RAISED} partitions")
        run.outside.start_over(sent=True)  # who listens without a group must look for new partitions himself
        await run.end()


async def _partitions(system: System, topics: list[str]) -> dict[str, int]:
    return {topic: await partitions_of(system.servers, topic) for topic in topics}


async def test_a_consumer_that_was_away_longer_than_retention_gets_what_is_gone_from_the_stores(
    system: System, on_kafka: None
) -> None:
    async with case(system, "retention") as run:
        await run.reached(run.random.uniform(0.1, 0.3))
        await system.stack.stop("billing")
        behind = await _stands_unheard(system)
        heard = [SPEAKERS[name].topic for name in ("order", "fulfillment")]
        gone = await delete_records(system.servers, heard)
        assert gone >= behind
        run.note(f"retention took {gone} records, {behind} of them unheard by billing")
        await system.stack.start("billing")
        await until(lambda: _asked(system, "billing"), "billing asks to hear again")
        assert "asks to hear again" in system.stack.services["billing"].log.read_text()
        await _heal(system)
        run.note(f"{await system.replay()} messages replayed")
        await run.end()


async def _rest(system: System, names: list[str]) -> bool:
    statuses = await system.services.statuses()
    return all(at_rest(statuses[name]) for name in names)


async def _unheard(system: System, service: str, speakers: list[str]) -> int:
    """How many messages of these speakers, all that it listens to, a service has not heard yet."""
    said = 0
    for name in speakers:
        said += (await system.sql(name, "SELECT sum(head)::bigint FROM lanes"))[0][0]
    heard = await system.sql(service, "SELECT sum(sequence)::bigint FROM positions")
    return int(said - heard[0][0])


async def _asked(system: System, service: str) -> bool:
    status = await system.status(service)
    return bool(status.get("consumer", {}).get("asked_again"))
