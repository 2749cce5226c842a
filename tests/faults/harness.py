"""One system under faults: orders go to cash in the background while parts of it die, and in the end all is proven."""

import asyncio
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any
from zlib import crc32

import asyncpg
import msgspec
from aiokafka import TopicPartition

from o2c.outside.plan import Kind
from o2c.services import Services
from o2c.settling import settled
from o2c.stack import SERVICES, Stack, StackOptions
from o2c.stack.ports import LOOPBACK, free_port
from o2c.stack.processes import Backoff
from o2c.stack.service_process import ServiceProcess
from o2c.verify import verify_all
from shared.contracts.catalogue import SPEAKERS
from shared.settings import Settings
from tests.faults.outside import Outside, orders_of
from tests.faults.saboteur import FREEZING, POINTS, Caught, caught_at
from tests.faults.said import Topics, ends_of, read_topics

ORDERS = int(os.environ.get("O2C_FAULT_ORDERS", "2000"))
"""Orders of each case."""
SEED = int(os.environ.get("O2C_FAULT_SEED") or Random().randrange(1_000_000))
"""Decides which faults happen when; printed, so that a run can be repeated."""
END_SECONDS_MAX = 60 + ORDERS / 8
"""How long the orders of a case may take after the last fault."""
SETTLE_SECONDS_MAX = 90.0
VERIFY_SECONDS_MAX = 60.0
KEPT, TRICKLE = 20, 30
"""Orders that are sent at each moment of a case at least, and every second while that lasts at most."""
FIGURES = "figures of "
"""A line that begins so is shown at the end of a run, also of a green one."""
_POLL_SECONDS = 0.02


async def until(
    holds: Callable[[], Awaitable[Any]], what: str, seconds_max: float = 60.0, missing: Callable[[], str] = str
) -> Any:
    """What `holds()` answers once it is true; fails, saying what was waited for and what of it is `missing` then, when
    that takes too long."""
    end = time.monotonic() + seconds_max
    while not (answer := await holds()):
        assert time.monotonic() < end, f"waited {seconds_max:g} s in vain for: {what}; {missing()}"
        await asyncio.sleep(_POLL_SECONDS)
    return answer


@dataclass
class System:
    """A stack whose services have trapdoors, and what a case does to it. `whole`: the last case left it so."""

    stack: Stack
    home: Path
    services: Services
    whole: bool = True

    @classmethod
    @asynccontextmanager
    async def up(
        cls,
        home: Path,
        broker: Any,
        *,
        postgres: Mapping[str, str] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator["System"]:
        """Bring one up; what dies comes back within a second, as often as it must.

        `postgres`: its settings; `environment`: more of it for the services.
        """
        doors = home / "trapdoors"
        doors.mkdir()
        options = StackOptions(
            home=home,
            broker=broker,
            environment={"O2C_TRAPDOORS": str(doors), **environment},
            command=_command,
            backoff=Backoff(first_seconds=0.2, longest_seconds=1.0, attempts_max=10_000),
        )
        async with await _up(options, postgres) as stack, Services(stack.snapshot().http_urls) as services:
            yield cls(stack, home, services)

    @property
    def servers(self) -> str:
        """Where Kafka is."""
        return self.stack.kafka_servers

    def database_of(self, service: str) -> str:
        """The address of a service's database."""
        return Settings(database_url=self.stack.database_url).database_of(service)

    async def sql(self, service: str, statement: str, *arguments: Any) -> list[Any]:
        """The rows of a statement on a service's database ("postgres": the server's own)."""
        address = f"{self.stack.database_url}/postgres" if service == "postgres" else self.database_of(service)
        connection = await asyncpg.connect(address, timeout=10, command_timeout=60)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    async def status(self, service: str) -> dict[str, Any]:
        """What a service says of itself; `unreachable` when it does not answer."""
        return (await self.services.statuses())[service]

    async def back(self, *services: str) -> None:
        """Wait until these services (all, if none is named) do their work again."""

        async def all_ready() -> bool:
            statuses = await self.services.statuses()
            return all(
                "unreachable" not in s and not s["missing"] for s in map(statuses.get, services or SERVICES) if s
            )

        await until(all_ready, f"{services or 'all services'} ready again", SETTLE_SECONDS_MAX)

    async def kill(self, *services: str) -> None:
        """SIGKILL to all of these at once, as soon as all of them run."""

        async def all_run() -> bool:
            return all(self.stack.services[name].running for name in services)

        await until(all_run, f"{'+'.join(services)} to run")
        await asyncio.gather(*(self.stack.kill(name) for name in services))

    def pid(self, part: str) -> int:
        """The process of a part that runs."""
        identity = self.stack._servers[part].identity
        assert identity is not None, f"{part} does not run"
        return identity.pid

    async def o2c(self, *arguments: str) -> str:
        """Run the operator's command on this system; its output. Fails when the command does."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "o2c", *arguments),
            env={**os.environ, "O2C_HOME": str(self.home)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, f"o2c {' '.join(arguments)} ended with {process.returncode}:\n{output}"
        return output

    @asynccontextmanager
    async def replica(
        self, service: str, number: int = 2, changes: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[ServiceProcess]:
        """One more process of a service, for the length of the block; then, or before, it must end by itself, with 0.

        `changes` to its environment.
        """
        original, name = self.stack.services[service], f"{service}-{number}"
        log = original.log.with_name(f"{name}.log")
        environment = {**original.environment, "O2C_SABOTEUR": name, **changes}
        process = ServiceProcess(name, log, free_port(), argv=_command(service), environment=environment)
        await process.start()
        try:
            yield process
        except BaseException:
            await process.stop()
            raise
        await process.stop()  # one that does not end is killed, which is another status
        status = await process.wait()
        assert status == 0, f"{name} did not end by itself, but with {status}"

    async def replay(self) -> int:
        """`o2c replay`, to its end; how many messages were said again."""
        before = {name: (await self.status(name))["relay"]["sent_again"] for name in SPEAKERS}
        await self.o2c("replay")

        async def all_said() -> int:
            statuses = await self.services.statuses()
            again = {name: statuses[name]["relay"]["sent_again"] - before[name] for name in SPEAKERS}
            done = all(again[name] >= statuses[name]["heads"]["said"] for name in SPEAKERS)
            return sum(again.values()) if done else 0

        said: int = await until(all_said, "everything said again", SETTLE_SECONDS_MAX)
        return said

    def show_tasks(self) -> None:
        """Have all services write to their logs where they wait."""
        for name, service in self.stack.services.items():
            if service.running:
                os.kill(self.pid(name), signal.SIGUSR1)

    async def spring(self, service: str, point: str) -> Caught:
        """Let a service fall through a trapdoor, and say what it had in hand then. Points: see `saboteur`."""
        assert point in (*POINTS, *FREEZING)
        door = self.home / "trapdoors" / f"{service}.{point}"
        door.touch()

        async def gone() -> bool:
            return not await asyncio.to_thread(door.exists)

        await until(gone, f"{door.name} sprung")
        return msgspec.json.decode(caught_at(door).read_bytes(), type=Caught)

    @asynccontextmanager
    async def frozen(self, service: str, point: str) -> AsyncIterator[Caught]:
        """Let a service fall through a trapdoor that stops it there, for the length of the block."""
        pid = self.pid(service)
        caught = await self.spring(service, point)

        async def stands() -> bool:
            return _stands_still(pid)

        await until(stands, f"{service} frozen at {point}")  # it says so a moment before it is
        try:
            yield caught
        finally:
            os.kill(pid, signal.SIGCONT)

    def set_clock(self, name: str, seconds_ahead: float) -> None:
        """Let the wall clock of a service's host (or a replica's, as in "order-2") go wrong by so much; 0: right."""
        file = self.home / "trapdoors" / f"{name}.clock"
        unfinished = file.with_suffix(".new")
        unfinished.write_text(str(seconds_ahead))
        unfinished.rename(file)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """Keep a process from running (SIGSTOP) for the length of the block."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def _up(options: StackOptions, postgres: Mapping[str, str]) -> Stack:
    if not postgres:
        return await Stack.up(options)

    class Configured(Stack):
        def __init__(self, options: StackOptions) -> None:
            super().__init__(options)
            self.postgres.configuration = postgres

    return await Configured.up(options)


def _command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.faults.saboteur", name)


@dataclass
class Case:
    """The orders of one case on their way, and where everything stood before them.

    `kept` False: what was said before them is looked for on the topics, too.
    """

    name: str
    system: System
    outside: Outside
    random: Random
    heads: dict[str, int]
    kept: bool
    offsets: dict[TopicPartition, int]
    orders: int
    started: float = field(default_factory=time.monotonic)
    faults: list[str] = field(default_factory=list)

    def note(self, fault: str) -> None:
        """Write down what was done, for the case's figures and for whoever must repeat it."""
        self.faults.append(f"{time.monotonic() - self.started:.1f}s {fault}")

    async def reached(self, fraction: float) -> None:
        """Wait until this fraction of the orders is in its planned end."""

        async def enough() -> bool:
            if self.outside.task.done():
                self.outside.task.result()
            return self.outside.finished >= fraction * self.orders

        missing = lambda: self.outside.world.progress.missing()  # noqa: E731 - of the world that is there then
        await until(enough, f"{fraction:.0%} of the orders done", 240, missing)

    async def moments(self, number: int) -> AsyncIterator[int]:
        """So many random moments of the run, spread over it: 0, 1, 2 …

        Orders are sent as the moments come, so that at each of them some are on their way and some not begun.
        """
        for n in range(number):
            self._allow(self.orders * (n + 2) / (number + 1), KEPT * (number - 1 - n))
            await self.reached((n + self.random.random()) / (number + 1))
            assert self.outside.finished < self.orders, "all orders are done: there is no load any more"
            yield n
        self.outside.allowed = lambda: math.inf

    def _allow(self, orders: float, kept: int) -> None:
        """So many orders may be sent at once, and then some every second: who is waited for at a trapdoor must come by.

        `kept`: so many are for later.
        """
        begun, least = time.monotonic(), max(orders, self.outside.world.published)
        most = self.orders - kept
        self.outside.allowed = lambda: min(least + TRICKLE * (time.monotonic() - begun), most)

    async def end(self) -> Topics:
        """Wait until everything has come to its end, and prove it."""
        async with asyncio.timeout(END_SECONDS_MAX + 1):
            await self._all_done()
        played = time.monotonic() - self.started
        urls = self.system.stack.snapshot().http_urls
        assert await settled(urls, seconds_max=SETTLE_SECONDS_MAX), await self.system.services.statuses()
        verdict = await verify_all(self.system.database_of, seconds_max=VERIFY_SECONDS_MAX)
        wrong = [check for check in verdict.checks if not check.ok]
        assert not wrong, wrong
        ends = await self._check_orders()
        topics = await self._check_topics()
        seconds = time.monotonic() - self.started
        checked = sum(check.checked for check in verdict.checks)
        print(
            f"\n{FIGURES}{self.name}: seed {SEED}, {self.orders} orders in {played:.0f} s = {ends}; proven in "
            f"{seconds - played:.0f} s: {len(verdict.checks)} checks over {checked} things, "
            f"{len(topics.ids)} messages under as many ids, {topics.copies} said again; {'; '.join(self.faults)}"
        )
        return topics

    async def _all_done(self) -> None:
        done, _ = await asyncio.wait({self.outside.task}, timeout=END_SECONDS_MAX)
        assert done, self.outside.world.progress.missing()
        self.outside.task.result()

    async def _check_orders(self) -> str:
        """Every order placed once, and completed, or refused, or, for who pays too little, invoiced with a rest due.

        Returns how many of each.
        """
        world, refused = self.outside.world, self.outside.refusing.order_ids
        ids = [*world.plans, *refused]
        rows = await self.system.sql(
            "order", "SELECT status, count(*) FROM orders WHERE order_id = ANY($1) GROUP BY 1", ids
        )
        by_status = dict(rows)
        short = sum(kind is Kind.SHORT for kind in world.plans.values())
        assert sum(by_status.values()) == len(ids)
        assert by_status["completed"] == len(ids) - len(refused) - len(world.progress.short)
        assert by_status.get("rejected", 0) == len(refused)
        assert len(world.progress.short) <= short
        paid = await self.system.sql(
            "receivables",
            "SELECT convert_from(state, 'UTF8')::jsonb -> 'd' ->> 'payment_id', count(*) FROM events "
            "WHERE topic = 'receivables.PaymentReceived' AND notification_id > $1 GROUP BY 1",
            self.heads["receivables"],
        )
        assert {payment_id: count for payment_id, count in paid} == dict.fromkeys(world.progress.received, 1)
        return (
            f"{by_status['completed']} paid, {len(world.progress.short)} paid short, {len(refused)} refused, "
            f"by {len(paid)} payments"
        )

    async def _check_topics(self) -> Topics:
        """All new public facts stand on the topics (the older ones, too, if the broker lost them); what stands there is
        in the stores; copies are true copies."""
        forgotten = set()
        for service, speaker in SPEAKERS.items():
            rows = await self.system.sql(service, "SELECT lane, sequence FROM events WHERE topic = 'engine.Lost'")
            forgotten.update((speaker.topic, lane, sequence) for lane, sequence in rows)
        topics = await read_topics(self.system.servers, self.offsets, forgotten)
        assert not topics.wrong, topics.wrong[:10]
        stored: dict[str, tuple[int, int]] = {}
        due: set[str] = set()
        for service in SPEAKERS:
            rows = await self.system.sql(
                service,
                "SELECT originator_id || '@' || originator_version, lane, sequence, notification_id FROM events "
                "WHERE lane IS NOT NULL AND topic <> 'engine.Lost'",
            )
            stored.update((id_, (lane, sequence)) for id_, lane, sequence, _ in rows)
            due.update(id_ for id_, _, _, number in rows if number > self.heads[service] or not self.kept)
        missing = sorted(due - topics.ids.keys())
        assert not missing, f"{len(missing)} facts were never said: {missing[:5]}"
        made_up = [id_ for id_, (lane, sequence, _) in topics.ids.items() if stored.get(id_) != (lane, sequence)]
        assert not made_up, f"{len(made_up)} messages are of no fact: {made_up[:5]}"
        return topics


@asynccontextmanager
async def case(
    system: System, name: str, *, orders: int = ORDERS, kept: bool = True, posted: int = 0, rate: float = 0.0
) -> AsyncIterator[Case]:
    """Start the orders of a case; in the end (`await case.end()` is the test's own) nothing of them goes on.

    `kept` False: the broker will lose what it holds, so that all of its topics are compared with all of the stores.
    `posted`: how many of the orders the test places itself; `rate`: of the others per second. See `Outside`.
    """
    print(f"\n{name}: seed {SEED} (repeat with O2C_FAULT_SEED={SEED})")
    system.whole = False
    await system.back()
    heads, offsets = {}, await ends_of(system.servers) if kept else {}
    for service in SERVICES:
        heads[service] = (await system.sql(service, "SELECT coalesce(max(notification_id), 0) FROM events"))[0][0]
    random = Random(crc32(f"{name}/{SEED}".encode()))
    outside = Outside(
        orders_of(name, orders, SEED), system.servers, system.services, seed=SEED, posted=posted, rate=rate
    )
    running = Case(name, system, outside, random, heads, kept, offsets, orders)
    try:
        yield running
        system.whole = True
    except BaseException:
        await _explain(running)
        raise
    finally:
        await outside.stop()


async def _explain(failed: Case) -> None:
    """For whoever must find out why: what was done, what the services say, and where each of them waits."""
    print(f"\n{failed.name} failed after: {'; '.join(failed.faults)}\n{traceback.format_exc(limit=-4)}")
    for name, status in (await failed.system.services.statuses()).items():
        print(f"{name}: {status}")
    failed.system.show_tasks()
    await asyncio.sleep(1)  # they write it down by themselves, and nobody says when
    for name, service in failed.system.stack.services.items():
        lines = [line for line in service.log.read_text().splitlines() if not line.startswith('{"level":"ERROR"')]
        print(f"---- {name}", *lines[-40:], sep="\n")


def together(random: Random, names: Sequence[str]) -> list[str]:
    """Two or more of these, at random."""
    return random.sample(list(names), random.randint(2, len(names)))


def address_of(process: ServiceProcess) -> str:
    """Where a replica answers."""
    return f"http://{LOOPBACK}:{process.port}"
