"""The stack as a whole: up and down, side by side, restarted services, detached, and nothing left behind."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import msgspec
import pytest

from o2c.stack import AlreadyUpError, Part, Stack, StackError, StackOptions, StackState
from o2c.stack.ports import LOOPBACK, SERVICES, free_port
from o2c.stack.processes import Backoff, Identity, identity_of
from o2c.stack.state import Home
from tests.support.homes import temporary_home
from tests.support.kafka_client import create_topic, topics_of
from tests.support.listening import listening_addresses
from tests.support.waiting import until

pytestmark = pytest.mark.connected

NICEST = 19
"""There is no more."""


def _tiny(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.support.tiny_service", name)


def _options(home: Path, services: tuple[str, ...] = ("order", "credit"), **environment: str) -> StackOptions:
    return StackOptions(
        home=home,
        services=services,
        command=_tiny,
        environment=environment,
        service_seconds_max=10,
        backoff=Backoff(first_seconds=0.05, longest_seconds=0.1, attempts_max=3),
    )


def _identities(state: StackState | None) -> list[Identity]:
    assert state is not None
    found = [part.identity for part in state.parts.values()]
    assert None not in found, "a part of the stack does not run"
    return [identity for identity in found if identity]


def _alive(identities: Iterable[Identity]) -> list[Identity]:
    return [identity for identity in identities if identity.alive]


async def _get(url: str) -> dict[str, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).json()  # type: ignore[no-any-return]


async def test_where_cpu_is_short_orders_are_taken_first_and_who_hears_everybody_comes_before_the_rest(
    stack_home: Path,
) -> None:
    async with await Stack.up(_options(stack_home, ("order", "credit", "analytics"))):
        state = Stack.state(stack_home)
        assert state is not None
        pids = {name: part.identity.pid for name, part in state.parts.items() if part.identity}
        own = os.getpriority(os.PRIO_PROCESS, 0)
        stood_back = {name: os.getpriority(os.PRIO_PROCESS, pid) - own for name, pid in pids.items()}
    wanted = {"postgres": 0, "order": 0, "analytics": 7, "credit": 10, "broker": 10}
    assert stood_back == {name: min(own + niceness, NICEST) - own for name, niceness in wanted.items()}


async def test_up_means_ready_and_down_leaves_no_process(stack_home: Path) -> None:
    progress: list[str] = []
    async with await Stack.up(
        _options(stack_home, SERVICES, TINY_READY_SECONDS="0.3"), lambda name, _: progress.append(name)
    ) as stack:
        state = Stack.state(stack_home)
        assert state is not None
        assert state.up
        identities = _identities(state)
        assert sorted(progress) == sorted(["postgres", "broker", *SERVICES])
        assert set(progress[:2]) == {"postgres", "broker"}
        for name in SERVICES:
            own = await _get(f"{stack.http_url(name)}/environment")
            assert own["O2C_DATABASE_URL"] == stack.database_url == state.database_url
            assert own["O2C_KAFKA_SERVERS"] == stack.kafka_servers == state.kafka_servers
            connection = await asyncpg.connect(f"{stack.database_url}/o2c_{name}")
            await connection.close()
    assert _alive(identities) == []
    after = Stack.state(stack_home)
    assert after is not None
    assert after.phase == "down"


async def test_everything_listens_on_loopback_only(stack_home: Path) -> None:
    async with await Stack.up(_options(stack_home)) as stack:
        for part in stack.snapshot().parts.values():
            assert listening_addresses(part.port) == {LOOPBACK}


async def test_two_homes_run_side_by_side_and_one_home_takes_one_stack(stack_home: Path) -> None:
    with temporary_home() as other_home:
        async with await Stack.up(_options(stack_home)) as one, await Stack.up(_options(other_home)) as other:
            with pytest.raises(AlreadyUpError):
                await Stack.up(_options(stack_home))
            await create_topic(one.kafka_servers, "t")
            assert await topics_of(other.kafka_servers) == []
            assert one.database_url != other.database_url
            state = Stack.state(stack_home)
            assert state is not None
            assert state.up


async def test_ports_follow_from_the_base(stack_home: Path) -> None:
    base = free_port()
    async with await Stack.up(replace(_options(stack_home, ("order", "analytics")), port_base=base)) as stack:
        assert stack.database_url.endswith(f":{base}")
        assert stack.kafka_servers.endswith(f":{base + 1}")
        assert stack.http_url("order").endswith(f":{base + 10}")
        assert stack.http_url("analytics").endswith(f":{base + 15}")
        with temporary_home() as other_home, pytest.raises(StackError, match=f"{base} .postgres."):
            await Stack.up(replace(_options(other_home), port_base=base))


async def test_a_part_that_ends_is_started_again(stack_home: Path) -> None:
    async with await Stack.up(_options(stack_home)) as stack:
        before = stack.snapshot().parts
        with pytest.raises(httpx.HTTPError):
            await _get(f"{stack.http_url('order')}/crash")
        await stack.kill("postgres")
        await until(lambda: all(stack.snapshot().parts[name].restarts == 1 for name in ("order", "postgres")))
        after = stack.snapshot().parts
        assert after["order"].pid != before["order"].pid
        assert after["order"].port == before["order"].port
        assert after["credit"] == before["credit"]
        assert await _get(f"{stack.http_url('order')}/environment")


async def test_a_part_that_is_stopped_stays_down_until_it_is_started(stack_home: Path) -> None:
    async with await Stack.up(_options(stack_home)) as stack:
        await stack.stop("broker")
        await stack.kill("order", restart=False)
        await asyncio.sleep(0.3)
        parts = stack.snapshot().parts
        assert (parts["broker"].pid, parts["order"].pid) == (None, None)
        await stack.start("broker")
        await stack.start("order")
        assert stack.snapshot().parts["order"].status == "running"
        assert await topics_of(stack.kafka_servers) == []


async def test_a_service_that_ends_again_and_again_is_given_up_with_its_reason(stack_home: Path) -> None:
    options = _options(stack_home)
    broken = stack_home / "broken"

    def command(name: str) -> tuple[str, ...]:
        return ("/bin/sh", "-c", f'test -e {broken} && exec echo "no luck"; exec {" ".join(_tiny(name))}')

    async with await Stack.up(replace(options, command=command)) as stack:
        broken.touch()
        await stack.kill("order")
        await until(lambda: "no luck" in stack.snapshot().parts["order"].problem)
        assert stack.snapshot().parts["order"].status == "failed"


async def test_a_service_that_does_not_start_fails_the_whole_and_leaves_no_process(stack_home: Path) -> None:
    seen: list[Identity] = []

    def remember(name: str, seconds: float) -> None:
        state = Stack.state(stack_home)
        assert state is not None
        seen.extend(identity for part in state.parts.values() if (identity := part.identity))

    with pytest.raises(StackError, match="broken on purpose"):
        await Stack.up(_options(stack_home, TINY_BROKEN="1"), remember)
    assert seen
    assert _alive(seen) == []


async def test_a_service_that_ignores_the_signal_is_killed_after_its_grace(stack_home: Path) -> None:
    stack = await Stack.up(_options(stack_home, ("order",), TINY_DEAF="1"))
    identities = _identities(stack.snapshot())
    stack.services["order"].stop_seconds_max = 0.3
    begun = time.monotonic()
    await stack.close()
    assert 0.3 <= time.monotonic() - begun < 10
    assert _alive(identities) == []


async def test_a_detached_stack_outlives_its_starter_and_is_taken_down_from_elsewhere(stack_home: Path) -> None:
    state = await Stack.detach(StackOptions(home=stack_home, services=()))
    assert state.pid != os.getpid()
    identities = _identities(state)
    with pytest.raises(AlreadyUpError):
        await Stack.up(_options(stack_home))
    with pytest.raises(StackError, match="is up in"):
        await Stack.detach(StackOptions(home=stack_home, services=()))
    assert await Stack.down(stack_home)
    assert _alive(identities) == []
    assert not await Stack.down(stack_home)


async def test_nothing_is_left_when_the_owner_is_killed(stack_home: Path) -> None:
    state = await Stack.detach(StackOptions(home=stack_home, services=()))
    identities = _identities(state)
    os.kill(state.pid, signal.SIGKILL)
    await until(lambda: not _alive(identities))
    now = Stack.state(stack_home)
    assert now is not None
    assert not now.up
    async with await Stack.up(_options(stack_home)):
        pass


async def test_a_process_that_outlived_its_owner_is_ended_by_down(stack_home: Path) -> None:
    async with await Stack.up(_options(stack_home, ("order",))) as stack:
        state = stack.snapshot()
    orphan = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        identity = identity_of(orphan.pid)
        assert identity
        part = Part(port=1, log="", pid=identity.pid, started_ticks=identity.started_ticks)
        reused_pid = Part(port=1, log="", pid=os.getpid(), started_ticks=1)
        # The owner's pid is ours with another start time: it stands for a pid that was given away again.
        left = msgspec.structs.replace(state, started_ticks=1, parts={"order": part, "credit": reused_pid})
        Home(stack_home).write(left)
        assert await Stack.down(stack_home)
        assert not identity.alive
    finally:
        if orphan.returncode is None:
            orphan.kill()
        await orphan.wait()
