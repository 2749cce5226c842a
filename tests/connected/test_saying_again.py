"""What was said is said once more, since listeners or people ask or the broker forgot; and nothing waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.credit import CreditApproved
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.relay import ASKED_SECONDS_MAX
from tests.connected.support_engine import (
    CreateToyDatabase,
    Database,
    Replica,
    counted_in_order,
    counting_service,
    counts,
    eventually,
    running,
)
from tests.connected.support_relay import (
    CUSTOMERS,
    counted,
    first_hearing,
    led,
    new_relay,
    said,
    say,
    true,
)
from tests.engine.toy import toy_service
from tests.support.brokers import tansu_in

pytestmark = pytest.mark.connected


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
            await eventually(lambda: counted(process, 60))
            await tansu.kill()
            await say(replica, 60, start=60)  # orders are taken while the broker is away
            await eventually(true(lambda: speaker.relay.backlog))
            await tansu.start()
            await eventually(lambda: counted(process, 120))
            assert set((await counts(process.pool)).values()) == {1}
            heard = await counted_in_order(process.pool)
    for customer in range(12):
        assert [o for o in heard if int(o[2:]) % 12 == customer] == [f"O-{n}" for n in range(customer, 120, 12)]
