"""Whether two replicas of a service are faster than one: each service in turn hears a backlog, far from its database.

Six services fill two cores: there a second replica gets nothing but what others lose. So the services work one after
the other here, all others frozen meanwhile, and every question to PostgreSQL is 10 ms on its way, as to a database in
another building. Deciding, sending and waiting can be shared between replicas; writing to a store is one at a time.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from o2c.bench.asked import Asked
from o2c.bench.freezing import freeze, frozen, wake
from o2c.bench.orders import generate, ordinary, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.questions import Answers, Asking, asking
from o2c.bench.rig import Rig, rig
from o2c.bench.scenarios.cycle import percentiles
from o2c.bench.slow_line import slow_line
from o2c.documents.flow import load_services
from o2c.environment import settings
from o2c.outside.world import World
from o2c.services import Services
from o2c.settling import at_rest
from o2c.stack import SERVICES
from o2c.stack.ports import free_port
from o2c.stack.service_process import ServiceProcess
from shared.errors import UnavailableError
from shared.values import Value, evolved

ORDERS = 5_000
"""Of each turn."""
WARM_UP_ORDERS = 500
"""Before each turn: whoever is new connects, and prepares its statements."""
TURNS = (1, 2, 2, 1)
"""How many replicas there are. The machine's pace changes by the minute: so it falls on both alike."""
STAGES = ("order", "credit", "order", "fulfillment", "billing", "receivables", "analytics")
"""Who works, one after the other: each finds what those before it have said (order at first the orders, then what
credit says of them), and analytics all there is. What is left then, notes of order and credit, is heard together."""
LINE_SECONDS = 0.005
"""One way."""
TIMES_MIN, TIMES_ALONE_MIN = 1.05, 0.9
"""More than none, or, where one hears and the other stands by, about as much: what is less may be chance."""
PAGES_PER_SECOND = 400.0
"""What callers look at in `replicas-asked`: of one replica a good third of what it can do."""
SESSION_MS = 75_000
"""Longer than anyone is frozen: nobody leaves a group because of that."""
QUIET_SECONDS = 1.0
LOOK_SECONDS = 0.02
HEARD_SECONDS_MAX = 120.0
SHARED_SECONDS_MAX = 60.0

_MARK = "SELECT (SELECT sum(sequence) FROM positions), (SELECT max(notification_id) FROM events)"
"""Changes with every batch: what services say moves positions, what comes from outside leads to facts."""


class Turn(Value, frozen=True, gc=False):
    """What came of some orders with so many `replicas` of each service.

    Service → `seconds` in which it heard its part of them, alone; → `races` for a stream that it lost to itself; →
    `answered_ms`: what callers waited for their pages meanwhile.
    """

    replicas: int
    orders: int
    seconds: Mapping[str, float]
    races: Mapping[str, int]
    missing: str = ""
    answered_ms: Mapping[str, Sequence[float]] = {}


async def replicas(asked: Asked) -> Outcome:
    """Orders per second that two replicas of each service hear from a backlog, times those of one (Apache Kafka)."""
    return await _compare(asked, 0.0)


async def replicas_asked(asked: Asked) -> Outcome:
    """As `replicas`, while callers ask the service that works for 400 pages a second."""
    return await _compare(asked, asked.rate or PAGES_PER_SECOND)


async def _compare(asked: Asked, pages_per_second: float) -> Outcome:
    if asked.options.broker != "kafka":
        raise UnavailableError(
            "topics have one partition on the embedded broker, which two replicas cannot share; try --broker kafka"
        )
    orders, environment = asked.orders or ORDERS, {"O2C_CONSUME_SESSION_MS": str(SESSION_MS)}
    options = replace(asked.options, environment={**asked.options.environment, **environment})
    course, mix = asked.course(in_flight=orders), ordinary(orders)
    turns: list[Turn] = []
    async with rig(options, asked.watch) as stack, Fleet(stack) as fleet:
        for number, each in enumerate(TURNS):
            await fleet.become(each)
            first, then = (generate(n, seed=2 * number + k, mix=mix) for k, n in enumerate((WARM_UP_ORDERS, orders)))
            warm_up = World(() if number else registered(mix), first, course)
            missing = (await stack.carry(warm_up, f"paid, before turn {number + 1}")).missing
            world, what = World((), then, course), f"turn {number + 1}, {each} of each"
            turn = await _turn(stack, fleet, world, what, pages_per_second)
            turns.append(turn if turn.missing else evolved(turn, missing=missing))
    return compared(turns, pages_per_second)


def compared(turns: Sequence[Turn], pages_per_second: float = 0.0) -> Outcome:
    """The turns with two replicas beside those with one, service by service."""
    by_service: dict[str, dict[str, float]] = {}
    for name in SERVICES:
        one, two = (_pace([turn for turn in turns if turn.replicas == number], name) for number in (1, 2))
        by_service[name] = {
            "one": round(one, 1),
            "two": round(two, 1),
            "times": round(two / one, 2),
            "races_lost": sum(turn.races[name] for turn in turns),
        }
    figures: dict[str, Any] = {
        "orders": sum(turn.orders for turn in turns),
        "line_ms_there_and_back": 2000 * LINE_SECONDS,
        "orders_per_second": by_service,
        "seconds": {
            name: {f"turn {n}: {turn.replicas}": round(turn.seconds[name], 2) for n, turn in enumerate(turns, 1)}
            for name in SERVICES
        },
    }
    if pages_per_second:
        figures["pages_per_second"] = pages_per_second
        figures["answered_ms"] = {
            f"{name}, {word}": percentiles(_answered_ms(turns, number, name))
            for name in SERVICES
            for number, word in ((1, "one"), (2, "two"))
        }
    floors = tuple(
        Floor(
            f"{name}: pace of two replicas{', one standing by' * (name in alone())}, times that of one",
            found["times"],
            # Who stands by answers half of the callers.
            TIMES_ALONE_MIN if name in alone() and not pages_per_second else TIMES_MIN,
        )
        for name, found in by_service.items()
    )
    return Outcome(figures, floors, next((turn.missing for turn in turns if turn.missing), ""))


@cache
def alone() -> frozenset[str]:
    """The services of which one replica hears and the others stand by."""
    return frozenset(name for name, service in load_services(settings()).items() if service.hears_alone)


def _pace(turns: Sequence[Turn], name: str) -> float:
    return sum(turn.orders for turn in turns) / sum(turn.seconds[name] for turn in turns)


def _answered_ms(turns: Sequence[Turn], number: int, name: str) -> list[float]:
    return sorted(ms for turn in turns if turn.replicas == number for ms in turn.answered_ms[name])


async def _turn(stack: Rig, fleet: "Fleet", world: World, what: str, pages_per_second: float) -> Turn:
    """The world plays its orders to their end, while one service works after the other."""
    working: list[asyncio.Task[None]] = []
    seconds = dict.fromkeys(SERVICES, 0.0)
    answers = {name: Answers() for name in SERVICES}
    races = await fleet.races()

    async def one_after_the_other() -> None:
        with frozen([pid for name in SERVICES for pid in fleet.pids(name)]):
            while world.published < len(world.orders):  # noqa: ASYNC110 - the world tells nobody
                await asyncio.sleep(LOOK_SECONDS)
            for name in STAGES:
                async with asking(name, fleet.urls(name), pages_per_second, HEARD_SECONDS_MAX, answers[name]) as ask:
                    seconds[name] += await _heard(stack, fleet, name, ask)
                freeze(fleet.pids(name))

    try:
        measured = await stack.carry(
            world, what, begun=lambda: working.append(asyncio.create_task(one_after_the_other()))
        )
        await working[0]
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    lost = {name: number - races[name] for name, number in (await fleet.races()).items()}
    refused = {name: told for name, each in answers.items() if (told := each.refused)}
    missing = measured.missing or (f"not all pages were answered: {refused}" if refused else "")
    answered = {name: each.milliseconds for name, each in answers.items()}
    return Turn(fleet.number, len(world.orders), seconds, lost, missing, answered)


async def _heard(stack: Rig, fleet: "Fleet", name: str, ask: Asking) -> float:
    """Wake a service; the seconds until it has heard all that waits for it, and said what follows."""
    # Not by the slow line: what is looked at every 20 ms must not wait.
    store = await asyncpg.connect(stack.where.database_of(name), command_timeout=10)
    try:
        mark, changed_at, begun = await store.fetchrow(_MARK), 0.0, time.monotonic()
        wake(fleet.pids(name))
        ask.go()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, mark, now = mark, await store.fetchrow(_MARK), time.monotonic()
            if mark != before:
                changed_at, ask.count_until = now, time.perf_counter()
            elif changed_at and now - changed_at > QUIET_SECONDS and all(map(at_rest, await fleet.statuses(name))):
                return changed_at - begun
            if now - begun > HEARD_SECONDS_MAX:
                raise UnavailableError(f"{name} has not heard all after {HEARD_SECONDS_MAX:g} s; see its log")
    finally:
        await store.close()


class Fleet:
    """One process of each service, or two, behind a slow line to PostgreSQL."""

    def __init__(self, stack: Rig) -> None:
        self._stack = stack
        self._line = AsyncExitStack()
        self._second: dict[str, ServiceProcess] = {}

    async def __aenter__(self) -> "Fleet":
        stack = self._stack.stack
        port = await self._line.enter_async_context(slow_line(stack.postgres.port, LINE_SECONDS))
        parts = urlsplit(stack.database_url)
        slow = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))
        for service in stack.services.values():
            service.environment = {**service.environment, "O2C_DATABASE_URL": slow}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()
        await self._line.aclose()

    async def become(self, number: int) -> None:
        """So many of each service, each with its share of the partitions, or one with all of them."""
        self._stack.watch(f"{number} of each", 0, 0)
        if number == 1:
            # Who stays would take over what another had at its next heartbeat: who comes alone has it all at once.
            await self._end()
            await asyncio.gather(*(self._stack.stack.start(name) for name in SERVICES))
        elif not self._second:
            self._second = {name: self._replica(name) for name in SERVICES}
            await asyncio.gather(*(process.start() for process in self._second.values()))
        until = time.monotonic() + SHARED_SECONDS_MAX
        for name in SERVICES:
            hearing = any if name in alone() else all
            while not hearing(status.get("lag") for status in await self.statuses(name)):
                if time.monotonic() > until:
                    raise UnavailableError(f"{name} hears nothing after {SHARED_SECONDS_MAX:g} s; see its log")
                await asyncio.sleep(LOOK_SECONDS)

    @property
    def number(self) -> int:
        """How many there are of each service."""
        return 2 if self._second else 1

    async def statuses(self, name: str) -> list[dict[str, Any]]:
        """What each process of a service says of itself."""
        async with Services({process.name: process.url for process in self._processes(name)}) as services:
            return list((await services.statuses()).values())

    async def races(self) -> dict[str, int]:
        """Service → how often its processes had to decide again since another writer was first."""
        return {name: sum(status["conflicts"] for status in await self.statuses(name)) for name in SERVICES}

    def pids(self, name: str) -> list[int]:
        """The processes of a service."""
        return [each.identity.pid for each in self._processes(name) if each.identity is not None]

    def urls(self, name: str) -> list[str]:
        """Where the processes of a service answer."""
        return [each.url for each in self._processes(name)]

    def _replica(self, service: str) -> ServiceProcess:
        first, name = self._stack.stack.services[service], f"{service}-2"
        return replace(first, name=name, log=first.log.with_name(f"{name}.log"), port=free_port())

    def _processes(self, name: str) -> list[ServiceProcess]:
        second = self._second.get(name)
        return [self._stack.stack.services[name], *([second] if second else [])]

    async def _end(self) -> None:
        first = (self._stack.stack.stop(name) for name in SERVICES)
        await asyncio.gather(*first, *(process.stop() for process in self._second.values()))
        self._second = {}
