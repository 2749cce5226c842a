"""Services that are killed at random and at the worst moments, stopped, frozen and joined by replicas, under load."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from o2c.bench.scenarios.replicas import alone
from o2c.services import Services
from o2c.stack import SERVICES
from o2c.stack.service_process import ServiceProcess
from shared.contracts.catalogue import SPEAKERS
from shared.eventsourced.relay import LEASE_SECONDS
from tests.faults.harness import SEED, Case, System, case, together, until
from tests.faults.redelivery import to_be_heard_again
from tests.faults.saboteur import HEARING, POINTS, Caught
from tests.faults.said import Topics, wrong_rows

pytestmark = pytest.mark.faults

GRACE_SECONDS = 20.0
TAKEN_OVER_SECONDS_MAX = LEASE_SECONDS + 20.0
"""A relay's lease is the longest that a frozen process keeps others waiting; and some air."""


async def test_services_killed_at_random_together_and_between_any_two_steps_lose_and_double_nothing(
    system: System,
) -> None:
    async with case(system, "killed") as run:
        kills: list[list[str] | tuple[str, str]] = [[name] for name in SERVICES]
        kills += [together(run.random, SERVICES) for _ in range(2)]
        run.random.shuffle(kills)
        # A trapdoor needs somebody who still comes by: towards the end a service may have done all its work.
        plan = [(name, point) for point in POINTS for name in run.random.sample(sorted(SPEAKERS), 2)] + kills[:3]
        plan += [("analytics", point) for point in HEARING]
        run.random.shuffle(plan)
        plan += kills[3:]
        said_again = 0
        told: list[str] = []
        async for n in run.moments(len(plan)):
            match plan[n]:
                case (name, point) as trap if isinstance(trap, tuple):
                    caught = await system.spring(name, point)
                    run.note(f"{name} at {point}")
                    said_again += len(caught.said)
                    told += caught.told
                    if point in HEARING:
                        kept = caught.facts if point != "written" else 0
                        assert await _recorded(system, name, caught) == kept, f"{name} did not die at {point}"
                        assert await _kept(system, name, caught) == (point != "written"), f"{name} at {point}"
                case victims:
                    await system.kill(*victims)
                    run.note(f"killed {'+'.join(victims)}")
        topics = await run.end()
        await _check_told(run, told)
        await _check_rows(run)
        assert said_again, "no relay died between sending and moving its cursor"
        assert topics.copies >= said_again, "what was sent before the cursor moved must have been said again"


async def _recorded(system: System, service: str, caught: Caught) -> int:
    """How many facts of the batch that was caught, as it was decided then, are committed."""
    rows = await system.sql(
        service,
        "SELECT count(*) FROM events WHERE (convert_from(state, 'UTF8')::jsonb #>> '{m,at}')::bigint = $1",
        caught.at_us,
    )
    return int(rows[0][0])


async def _kept(system: System, service: str, caught: Caught) -> bool:
    """Whether the batch that was caught has moved the positions, by its own transaction if that is known."""
    if caught.transaction:
        status = "SELECT pg_xact_status($1::text::xid8)"
        return bool((await system.sql(service, status, caught.transaction))[0][0] == "committed")
    return await _heard(system, service, caught)


async def _heard(system: System, service: str, caught: Caught) -> bool:
    """Whether the messages of the batch that was caught are heard, by whomever."""
    rows = await system.sql(service, "SELECT speaker, lane, sequence FROM positions")
    positions = {(speaker, lane): sequence for speaker, lane, sequence in rows}
    return all(positions[speaker, lane] >= after for speaker, lane, _, after in caught.positions)


async def _check_told(run: Case, told: Sequence[str]) -> None:
    """What analytics had in hand when it was struck, it tells of, and once."""
    assert told, "nothing was in its hands"
    rows = await run.system.sql("analytics", "SELECT message_id FROM order_story WHERE message_id = ANY($1)", told)
    assert sorted(id_ for (id_,) in rows) == sorted(set(told))


async def _check_rows(run: Case) -> None:
    """All tables of analytics are what was said. Many add up: nothing else would tell of what was added twice."""
    wrong = await wrong_rows(run.system.sql)
    assert not wrong, f"{len(wrong)} rows are wrong: {wrong[:10]}"


async def test_services_told_to_stop_under_load_end_cleanly_and_hear_nothing_twice(system: System) -> None:
    async with case(system, "stopped") as run:
        names = run.random.sample(SERVICES, len(SERVICES))
        async for n in run.moments(len(names)):
            begun = time.monotonic()
            await system.stack.stop(names[n])
            seconds = time.monotonic() - begun
            assert await system.stack.services[names[n]].wait() == 0, f"{names[n]} did not end by itself"
            assert seconds < GRACE_SECONDS
            again = await to_be_heard_again(system, names[n], run.heads[names[n]])
            assert not again, f"{names[n]} has taken {len(again)} messages without telling Kafka: {again[:5]}"
            await system.stack.start(names[n])
            run.note(f"stopped {names[n]} in {seconds:.1f} s")
        await run.end()
        statuses = await system.services.statuses()
        assert {name: s["consumer"]["duplicates"] for name, s in statuses.items()} == dict.fromkeys(SERVICES, 0)


async def test_a_frozen_service_that_wakes_after_another_took_over_writes_nothing_twice(system: System) -> None:
    name = Random(SEED).choice(["billing", "fulfillment", "receivables"])
    # The replicas are there before the first order: else a fast machine is done before anything can be frozen.
    async with (
        system.replica(name) as other,
        system.replica("credit") as creditor,
        system.replica("analytics") as analyst,
        case(system, "frozen") as run,
    ):
        await run.reached(run.random.uniform(0.02, 0.1))
        # First: while it is frozen no order gets past credit.
        zombies = await _zombies(run, {"credit": creditor, "analytics": analyst}, "writing")
        await run.reached(run.random.uniform(0.25, 0.35))
        zombies += await _zombies(run, {name: other, "analytics": analyst}, "decided")
        await run.end()
        for service, caught in zombies:
            assert not await _recorded(system, service, caught), "written although another replica had taken it"
            assert not caught.transaction or not await _kept(system, service, caught)
        await _check_told(run, [id_ for _, caught in zombies for id_ in caught.told])
        await _check_rows(run)


async def _zombies(run: Case, others: Mapping[str, ServiceProcess], point: str) -> list[tuple[str, Caught]]:
    """Each of these services is frozen until its replica has taken over, all at the same time."""
    async with asyncio.TaskGroup() as group:
        frozen = [
            (service, group.create_task(_frozen_until_taken_over(run, service, point, other)))
            for service, other in others.items()
        ]
    return [(service, task.result()) for service, task in frozen]


async def _frozen_until_taken_over(run: Case, service: str, point: str, other: ServiceProcess) -> Caught:
    """What it was frozen with and its replica has heard meanwhile, and it must find out about when it wakes."""
    system = run.system
    dropped = _dropped(await system.status(service))
    heard = (await _status_of(other))["consumer"]["records"]
    async with system.frozen(service, point) as caught:
        run.note(f"{service} froze at {point} with {caught.messages} messages and {caught.facts} facts")
        assert await _locks_idly(system, service, caught.session) == (point == "writing")
        heard += caught.messages
        await until(
            lambda: _took_over(system, service, other, caught, heard),
            f"{other.name} takes over",
            TAKEN_OVER_SECONDS_MAX,
        )
        assert not await _locks_idly(system, service, caught.session), "who is frozen keeps the store's lock"
    await system.back(service)

    async def found_out() -> bool:
        return _dropped(await system.status(service)) >= dropped + caught.messages

    await until(found_out, f"{service} drops what it had in hand, since {other.name} has heard it")
    run.note(f"{service} woke and dropped {caught.messages} messages that {other.name} had heard")
    return caught


def _dropped(status: Mapping[str, Any]) -> int:
    """Messages that a service has not worked: as repeats, or given up, since another had their partitions."""
    consumer = status.get("consumer", {})
    return int(consumer.get("duplicates", 0) + consumer.get("given_up", 0))


async def _locks_idly(system: System, service: str, session: int) -> bool:
    """Whether this server process has the store's lock, in a transaction in which nothing happens."""
    rows = await system.sql(
        service,
        "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE pid = $1 AND locktype = 'advisory' "
        "AND objid = 7201926 AND granted AND state = 'idle in transaction'",
        session,
    )
    return bool(rows)


async def _took_over(system: System, service: str, other: ServiceProcess, caught: Caught, heard: int) -> bool:
    """Whether what was caught is committed all the same, and the replica has heard so many messages by now."""
    if not await _heard(system, service, caught):
        return False
    return bool((await _status_of(other)).get("consumer", {}).get("records", 0) >= heard)


async def _status_of(replica: ServiceProcess) -> dict[str, Any]:
    async with Services({replica.name: replica.url}) as services:
        return (await services.statuses())[replica.name]


async def test_a_relay_frozen_for_longer_than_its_lease_is_followed_by_another_and_wakes_without_harm(
    system: System,
) -> None:
    name = Random(SEED).choice(["billing", "credit", "fulfillment"])
    async with (
        system.replica(name) as other,
        case(system, "frozen-relay") as run,
        _watched_cursor(system, name) as went_back,
    ):
        await run.reached(run.random.uniform(0.05, 0.2))
        async with system.frozen(name, "saying") as caught:
            run.note(f"{name} froze with {len(caught.said)} messages to say")
            cursor = await _cursor(system, name)
            await until(
                lambda: _goes_on(system, name, other, cursor, len(caught.said)),
                f"{other.name} goes on",
                TAKEN_OVER_SECONDS_MAX,
            )
            run.note(f"{other.name} had said them")
        await until(lambda: _follows(system, name), f"{name} no longer leads")
        topics = await run.end()
        assert topics.copies >= len(caught.said), "who wakes says what it had in hand: else nothing was tried"
        assert not await went_back(), "the cursor went back"
        await _check_order(run, name, topics)


async def _goes_on(system: System, service: str, other: ServiceProcess, cursor: int, messages: int) -> bool:
    """Whether the stored cursor has moved from where it was, and this replica leads and has said so many messages."""
    if await _cursor(system, service) <= cursor:
        return False
    relay = (await _status_of(other)).get("relay", {})
    return bool(relay.get("leads") and relay["sent"] >= messages)


async def _cursor(system: System, service: str) -> int:
    return int((await system.sql(service, "SELECT cursor FROM relay"))[0][0])


async def _follows(system: System, service: str) -> bool:
    return (await system.status(service)).get("relay", {}).get("leads") is False


@asynccontextmanager
async def _watched_cursor(system: System, service: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Whether the relay's cursor ever went back during the block: the store itself looks at every step."""
    for statement in (
        "CREATE TABLE went_back (cursor bigint)",
        "CREATE FUNCTION note_going_back() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO went_back VALUES (NEW.cursor); RETURN NEW; END'",
        "CREATE TRIGGER going_back AFTER UPDATE ON relay FOR EACH ROW WHEN (NEW.cursor < OLD.cursor) "
        "EXECUTE FUNCTION note_going_back()",
    ):
        await system.sql(service, statement)

    async def went_back() -> bool:
        return bool(await system.sql(service, "SELECT FROM went_back"))

    try:
        yield went_back
    finally:
        await system.sql(service, "DROP FUNCTION note_going_back CASCADE")
        await system.sql(service, "DROP TABLE went_back")


async def _check_order(run: Case, service: str, topics: Topics) -> None:
    """In each lane the new messages of a service stand in the order of their sequences, copies aside."""
    rows = await run.system.sql(
        service,
        "SELECT originator_id || '@' || originator_version FROM events WHERE lane IS NOT NULL AND notification_id > $1",
        run.heads[service],
    )
    new = {id_ for (id_,) in rows}
    heads: dict[int, int] = {}
    for id_, (lane, sequence, _) in topics.ids.items():  # as they were first found
        if id_ in new:
            before, heads[lane] = heads.get(lane, 0), sequence
            assert before < sequence, f"lane {lane}: {sequence} stands behind {before}"


async def test_replicas_of_all_services_come_and_go_under_load(system: System) -> None:
    async with case(system, "replicas") as run:
        replicas: list[ServiceProcess] = []
        async with AsyncExitStack() as running:
            async for n in run.moments(3):
                if n < 2:
                    starting = (running.enter_async_context(system.replica(name, n + 2)) for name in SERVICES)
                    replicas += await asyncio.gather(*starting)
                else:
                    run.note("three of each")
                    for replica in replicas:
                        await until(lambda replica=replica: _hears(replica), f"{replica.name} hears its share")
                    assert run.outside.finished < run.orders, "they leave under load"
                    await running.aclose()
                    run.note("one of each again")
        await run.end()
        await _check_rows(run)


async def _hears(replica: ServiceProcess) -> bool:
    """Whether it has heard something; who stands by need not."""
    stands_by = replica.name.partition("-")[0] in alone()
    return (await _status_of(replica))["consumer"]["records"] > 0 or stands_by


async def test_two_relays_of_one_service_at_once_are_heard_once(system: System) -> None:
    async with (
        case(system, "relays") as run,
        system.replica("billing") as biller,
        system.replica("order") as taker,
    ):
        cut = 0
        async for n in run.moments(6):
            for replica in (biller, taker):
                cut += await _cut_relay(system, replica)
                if n == 5:
                    await until(lambda replica=replica: _leads(system, replica), f"{replica.name} leads")
        assert cut
        sent = [(await _status_of(replica))["relay"]["sent"] for replica in (biller, taker)]
        run.note(f"{cut} times the leading relay lost its lock under load; the replicas said {sum(sent)} messages")
        await run.end()


async def _cut_relay(system: System, replica: ServiceProcess) -> int:
    """Take the lock from whichever relay of the replica's service has it; 0 when just then none has."""
    ended = await system.sql(
        replica.name.partition("-")[0],
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database "
        "WHERE locktype = 'advisory' AND granted AND objid = 7201927 AND datname = current_database()",
    )
    return len(ended)


async def _leads(system: System, replica: ServiceProcess) -> bool:
    """Whether the replica's relay leads or has led; if not, the other one loses its lock once more."""
    relay = (await _status_of(replica))["relay"]
    if relay["leads"] or relay["sent"]:
        return True
    await _cut_relay(system, replica)
    await asyncio.sleep(1)
    return False
