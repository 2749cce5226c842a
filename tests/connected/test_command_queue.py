"""Commands of concurrent callers share transactions, and each caller gets the answer to its own."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.errors import ConflictError, ContractError, DomainError, UnavailableError
from shared.eventsourced import command_queue
from shared.eventsourced.decider import To
from tests.connected.support_engine import Database, OpenReplica, Replica, eventually
from tests.engine.toy import NUMBERED, AddCoins, CoinsAdded, WriteReceipt, jar, toy_service

pytestmark = pytest.mark.connected


def add(customer: str, order: str, amount: int = 1, expected: int | None = None) -> To[AddCoins]:
    return To(jar, customer, AddCoins(customer, order, amount), expected)


@pytest.fixture
async def taking(replica: Replica) -> AsyncIterator[Replica]:
    """A replica whose queue is at work."""
    task = asyncio.create_task(replica.queue.run())
    yield replica
    replica.queue.close()
    async with asyncio.timeout(20):
        await task


async def test_a_hundred_concurrent_commands_take_few_transactions(taking: Replica) -> None:
    outcomes = await asyncio.gather(*(taking.queue.execute(add(f"C-{n % 7}", f"O-{n}")) for n in range(100)))
    assert taking.commits <= 5
    assert sorted(o.facts[0].fact.order_id for o in outcomes) == sorted(f"O-{n}" for n in range(100))
    assert all(type(o.facts[0].fact) is CoinsAdded for o in outcomes)
    assert [o.state.total_minor for o in outcomes] == [n // 7 + 1 for n in range(100)]
    assert [o.version for o in outcomes] == [n // 7 + 1 for n in range(100)]


async def test_where_commands_wait_the_next_group_waits_for_more(
    taking: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_queue, "GROUP_SECONDS", 0.3)
    first = asyncio.create_task(taking.queue.execute(add("C", "O-1")))
    while not taking.queue.waiting:
        await asyncio.sleep(0)
    while taking.queue.waiting:
        await asyncio.sleep(0)  # until it is taken
    second = asyncio.create_task(taking.queue.execute(add("C", "O-2")))
    await first
    await asyncio.gather(second, taking.queue.execute(add("C", "O-3")))
    assert taking.commits == 2


async def test_a_command_that_is_alone_waits_for_no_other(taking: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_queue, "GROUP_SECONDS", 60.0)
    for n in range(3):
        await taking.queue.execute(add("C", f"O-{n}"))
    assert taking.commits == 3


async def test_more_commands_are_expected_for_a_moment_after_the_last(
    taking: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not taking.queue.busy
    await taking.queue.execute(add("C", "O-1"))
    assert taking.queue.busy
    monkeypatch.setattr(command_queue, "BUSY_SECONDS", 0.0)
    assert not taking.queue.busy


async def test_one_refused_command_does_not_hurt_the_others(taking: Replica) -> None:
    amounts = [13 if n == 42 else 1 for n in range(100)]
    answers = await asyncio.gather(
        *(taking.queue.execute(add("C", f"O-{n}", amount)) for n, amount in enumerate(amounts)), return_exceptions=True
    )
    assert [n for n, answer in enumerate(answers) if isinstance(answer, DomainError)] == [42]
    assert await taking.pool.fetchval("SELECT total_minor FROM jars WHERE customer_id = 'C'") == 99


async def test_a_broken_decider_is_its_own_callers_problem(taking: Replica) -> None:
    bad, good = await asyncio.gather(
        taking.queue.execute(add("A", "O-1", 666)), taking.queue.execute(add("B", "O-2")), return_exceptions=True
    )
    assert isinstance(bad, RuntimeError)
    assert not isinstance(good, BaseException)


async def test_a_command_whose_row_cannot_be_written_fails_alone(taking: Replica) -> None:
    commands = [add(f"C-{n}", f"O-{n}", 2**63 if n == 5 else 1) for n in range(20)]
    commands[11] = add("C\x00", "O-11")
    answers = await asyncio.gather(*map(taking.queue.execute, commands), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)] == [5, 11]
    assert await taking.pool.fetchval("SELECT count(*) FROM jars") == 18


async def test_a_fact_too_large_to_be_said_is_refused_and_harms_nobody_else(taking: Replica) -> None:
    big, small = await asyncio.gather(
        taking.queue.execute(To(jar, "C", WriteReceipt("C", "x" * 900_000))),
        taking.queue.execute(To(jar, "C", WriteReceipt("C", "x" * 600_000))),
        return_exceptions=True,
    )
    assert isinstance(big, ContractError)
    assert not isinstance(small, BaseException)


async def test_a_repeat_leads_to_no_facts_and_the_same_state(taking: Replica) -> None:
    first = await taking.queue.execute(add("C", "O-1"))
    again = await taking.queue.execute(add("C", "O-1"))
    assert (again.version, again.state, again.facts) == (first.version, first.state, ())


async def test_of_two_who_saw_the_same_version_one_wins(taking: Replica) -> None:
    answers = await asyncio.gather(
        *(taking.queue.execute(add("C", f"O-{n}", expected=0)) for n in range(2)), return_exceptions=True
    )
    assert isinstance(answers[1], ConflictError)
    assert answers[1].code == "version"
    assert not isinstance(answers[0], BaseException)


async def test_the_state_that_is_read_is_the_one_that_was_written_by_whomever(
    taking: Replica, open_replica: OpenReplica
) -> None:
    await taking.queue.execute(add("C", "O-1"))
    other = await open_replica()
    await other.do(add("C", "O-2"))
    state, version = await taking.queue.state(jar, "C")
    assert (state.total_minor, version) == (2, 2)
    assert await taking.queue.state(jar, "nobody") == (jar.initial, 0)


async def test_numbers_have_no_gap_whatever_fails_among_concurrent_commands(open_replica: OpenReplica) -> None:
    replica = await open_replica(toy_service(series=NUMBERED))
    task = asyncio.create_task(replica.queue.run())
    commands = [
        To(jar, f"C-{n}\x00" if n % 10 == 3 else f"C-{n}", WriteReceipt(f"C-{n}", "r")) for n in range(60)
    ]  # every tenth cannot be stored
    answers = await asyncio.gather(*map(replica.queue.execute, commands), return_exceptions=True)
    replica.queue.close()
    await task
    numbers = sorted(a.facts[0].fact.number for a in answers if not isinstance(a, BaseException))
    assert numbers == [f"R-2026-{n:06d}" for n in range(1, 55)]
    assert await replica.pool.fetchval("SELECT last FROM number_series") == 54


async def test_a_full_queue_and_a_closed_one_say_so_at_once(replica: Replica) -> None:
    replica.queue._queued_max = 2
    waiting = [asyncio.create_task(replica.queue.execute(add("C", f"O-{n}"))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await replica.queue.execute(add("C", "O-3"))
    replica.queue.close()
    await replica.queue.run()  # what waits is finished all the same
    assert [(await each).version for each in waiting] == [1, 2]
    with pytest.raises(UnavailableError):
        await replica.queue.execute(add("C", "O-4"))


async def test_a_store_that_went_away_is_unavailable_and_then_served_again(taking: Replica, database: Database) -> None:
    killer = await asyncpg.connect(database.dsn)
    await killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await killer.close()

    async def served() -> bool:
        try:
            await taking.queue.execute(add("C", "O-1"))
        except UnavailableError:
            return False
        return True

    await eventually(served)
