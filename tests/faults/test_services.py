"""Services that are killed at random and at the worst moments, stopped, frozen and joined by replicas, under load."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from o2c.stack import SERVICES
from shared.contracts.catalogue import SPEAKERS
from tests.faults.harness import SEED, System, case, together, until
from tests.faults.saboteur import FREEZING, POINTS

pytestmark = pytest.mark.faults

GRACE_SECONDS = 20.0
FROZEN_SECONDS = 9.0
"""Longer than the consumers' session time-out of six seconds and the rebalance that follows."""


async def test_services_killed_at_random_together_and_between_any_two_steps_lose_and_double_nothing(
    system: System,
) -> None:
    async with case(system, "killed") as run:
        kills: list[list[str] | tuple[str, str]] = [[name] for name in SERVICES]
        kills += [together(run.random, SERVICES) for _ in range(2)]
        run.random.shuffle(kills)
        # A trapdoor needs somebody who still comes by: towards the end a service may have done all its work.
        plan = [(name, point) for point in POINTS for name in run.random.sample(sorted(SPEAKERS), 2)] + kills[:3]
        run.random.shuffle(plan)
        plan += kills[3:]
        async for n in run.moments(len(plan)):
            match plan[n]:
                case (name, point) as trap if isinstance(trap, tuple):
                    door = system.arm(name, point)
                    await until(lambda door=door: _gone(door), f"{door.name} sprung")
                    run.note(f"{name} at {point}")
                case victims:
                    await asyncio.gather(*(system.stack.kill(name) for name in victims))
                    run.note(f"killed {'+'.join(victims)}")
        topics = await run.end()
        assert topics.copies, "what was sent before the cursor moved must have been said again"


async def _gone(door: Path) -> bool:
    return not await asyncio.to_thread(door.exists)


async def test_services_told_to_stop_under_load_end_cleanly_and_hear_nothing_twice(system: System) -> None:
    async with case(system, "stopped") as run:
        names = run.random.sample(SERVICES, len(SERVICES))
        async for n in run.moments(len(names)):
            begun = time.monotonic()
            await system.stack.stop(names[n])
            seconds = time.monotonic() - begun
            assert await system.stack.services[names[n]].wait() == 0, f"{names[n]} did not end by itself"
            assert seconds < GRACE_SECONDS
            await system.stack.start(names[n])
            run.note(f"stopped {names[n]} in {seconds:.1f} s")
        await run.end()
        statuses = await system.services.statuses()
        assert {name: s["consumer"]["duplicates"] for name, s in statuses.items()} == dict.fromkeys(SERVICES, 0)


async def test_a_frozen_service_that_wakes_after_another_took_over_writes_nothing_twice(system: System) -> None:
    name = Random(SEED).choice(["billing", "fulfillment", "receivables"])
    # The replicas are there before the first order: else a fast machine is done before anything can be frozen.
    async with system.replica(name), system.replica("credit"), case(system, "frozen") as run:
        await run.reached(run.random.uniform(0.02, 0.1))
        await _freeze_in_transaction(system, "credit")  # first: while it is frozen no order gets past credit
        run.note("credit froze with everything written and nothing committed; its replica went on")
        await system.back("credit")
        await run.reached(run.random.uniform(0.25, 0.35))
        with system.stopped(system.pid(name)):
            run.note(f"froze {name}")
            await asyncio.sleep(FROZEN_SECONDS)  # the fault itself is a length of time
        await system.back(name)
        run.note(f"{name} woke")
        await run.end()


async def _freeze_in_transaction(system: System, service: str) -> None:
    """Until its replica has heard more: the store's lock, which the frozen one holds, is taken from it."""
    pid = system.pid(service)
    door = system.arm(service, FREEZING)
    await until(lambda: _gone(door), f"{service} frozen in its transaction")
    try:
        heard = await _heard(system, service)
        await until(lambda: _more_than(system, service, heard), "the replica goes on", 60)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _heard(system: System, service: str) -> int:
    return int((await system.sql(service, "SELECT sum(sequence)::bigint FROM positions"))[0][0])


async def _more_than(system: System, service: str, heard: int) -> bool:
    return await _heard(system, service) > heard


async def test_replicas_of_all_services_come_and_go_under_load(system: System) -> None:
    async with case(system, "replicas") as run:
        await run.reached(0.1)
        async with AsyncExitStack() as replicas:
            for number in (2, 3):
                await asyncio.gather(*(replicas.enter_async_context(system.replica(name, number)) for name in SERVICES))
            run.note("three of each")
            await run.reached(0.7)
        run.note("one of each again")
        await run.end()


async def test_two_relays_of_one_service_at_once_are_heard_once(system: System) -> None:
    async with case(system, "relays") as run, system.replica("billing"), system.replica("order"):
        cut = 0
        async for _ in run.moments(6):
            for service in ("billing", "order"):
                cut += len(
                    await system.sql(
                        service,
                        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database "
                        "WHERE locktype = 'advisory' AND granted AND objid = 7201927 AND datname = current_database()",
                    )
                )
        run.note(f"{cut} times the leading relay lost its lock under load")
        assert cut
        await run.end()
