"""Two processes of the tried service on one real PostgreSQL, whatever happens to them, compared with the model.

Every operation may be crashed at any of its stops. After each of them the store, the caches, the read tables and the
tape are looked at, and must be what the model says.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared.contracts.catalogue import contracts
from shared.contracts.inbound import Customer
from shared.contracts.messages import contract_of
from shared.contracts.orders import OrderPlaced
from shared.errors import ConflictError, UnavailableError
from shared.eventsourced import acknowledging, faults, relay, resending, store, unit_of_work
from shared.eventsourced.command_queue import CommandQueue
from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import To
from shared.eventsourced.faults import passes
from shared.eventsourced.hearing import Translator
from shared.eventsourced.projecting import MessageProjection, Row
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.reading import Decoders
from shared.eventsourced.rebuilding import rebuild
from shared.eventsourced.relay import Relay
from shared.eventsourced.store import connect_pool
from tests.connected.support_engine import Replica
from tests.engine.records import INBOUND, Record, body_of, headers_of, placed
from tests.engine.stateful.comparing import Comparing, Known
from tests.engine.stateful.model import (
    Kept,
    Spoken,
    Step,
    World,
    by_lane,
    commanded,
    dropping,
    open_before,
    orphans,
    retrying,
)
from tests.engine.stateful.service import heap, note, on_customer, on_order_placed, tried_service
from tests.engine.stateful.stepping import AwaitPoint, Crash, Steps
from tests.engine.stateful.tape import TOPIC, Tape
from tests.engine.toy import CoinsAdded

CUSTOMERS = ("C-1", "C-25", "C-2")
"""The first two share a lane."""
LANE, OTHER_LANE = lane_of("C-1"), lane_of("C-2")

_RESET = """
DELETE FROM events; DELETE FROM snapshots; DELETE FROM number_series; DELETE FROM dead_letters;
DELETE FROM jars; DELETE FROM coins; DELETE FROM noted; DELETE FROM origin;
UPDATE relay SET cursor = 0, letters = 0, replays_asked = 0, replays_done = 0;
UPDATE lanes SET head = 0 WHERE head > 0; UPDATE positions SET sequence = 0 WHERE sequence > 0;
SELECT setval('events_notification_id_seq', 1, false), setval(pg_get_serial_sequence('dead_letters', 'id'), 1, false);
"""

Between = Callable[[set[AwaitPoint]], Coroutine[Any, Any, None] | None]


@asynccontextmanager
async def impatient() -> AsyncIterator[None]:
    """Waits of the engine are short here; a few facts want a snapshot, and few letters are many."""
    with capture_logs(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "WAIT_SECONDS_MIN", 0.001)
        patch.setattr(faults, "WAIT_SECONDS_MAX", 0.01)
        patch.setattr(relay, "CURSOR_SECONDS", 60)  # from the second time on it is stored by who leaves
        patch.setattr(acknowledging, "TELL_SECONDS", 60)  # only the first batch is told at once
        patch.setattr(resending, "PATIENCE_SECONDS", 0)
        patch.setattr(store, "SNAPSHOT_BYTES_MIN", 600)
        patch.setattr(unit_of_work, "BLOCKED_KEPT_MAX", 2)
        yield


async def quicken(dsn: str) -> None:
    """Let commits not wait for the disk: it is processes that crash here, not the server."""
    connection = await asyncpg.connect(dsn)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await connection.close()


def order(customer: str, lane_sequence: int, follows: str, amount: int) -> tuple[Spoken, Record]:
    """A message of the order service, as the model and as the engine take it. `follows`: the order's stream."""
    lane = lane_of(customer)
    message = placed(f"O-{lane}-{lane_sequence}", customer, amount)
    name = f"order-{follows}-{lane}@{lane_sequence}"
    spoken = Spoken(name, lane, lane_sequence, name.partition("@")[0], *_effects_of(message))
    return spoken, Record(body_of(message), headers_of(name, lane, lane_sequence), key=customer.encode())


def _effects_of(message: OrderPlaced) -> tuple[tuple[To[Any], ...], tuple[Row, ...]]:
    """What a message asks for, and the rows that follow from it alone. Neither asks for its envelope."""
    heard: Any = None
    return tuple(on_order_placed(message, heard)), tuple(note(message, heard))


def outside(customer: str, effect: str, amount: int) -> tuple[Spoken, Record]:
    """A message from outside, without a position. `effect` names what it leads to."""
    message = Customer(customer, effect, "GB", "GBP", amount)
    name = f"in-{customer}-{effect}-{amount}"
    headers = (("ce_type", contract_of(Customer).name.encode()), ("ce_id", name.encode()))
    commands = tuple(on_customer(message, None))  # type: ignore[arg-type]
    return Spoken(name, -1, 0, "", commands), Record(body_of(message), headers, INBOUND, key=customer.encode())


class Process(Replica):
    """One process: its pool, caches and relay, and how it is struck."""

    def __init__(self, number: int, dsn: str, numbered: bool, pool: Any, cached: int) -> None:
        super().__init__(tried_service(numbered=numbered), pool, cached=cached)
        hears = self.service.hears
        noting = [p for p in self.service.projections if isinstance(p, MessageProjection)]
        translator = Translator(hears, noting, Decoders(contracts(), hears))
        self.consumer._translator = self.letters._translator = translator  # a plain replica has no rows of messages
        self.relay_connections: list[Any] = []

        async def topics() -> None:
            await asyncio.sleep(0)

        self.relay = Relay(
            "credit",
            self.service.says,
            f"{dsn}?application_name=relay{number}",
            "",
            topics,
            records_max=5,
            poll_ms=2,
            heads_seconds=0,
        )

        self.on_commit = self.relay.committed

    def connections(self) -> list[Any]:
        """Those that are open now."""
        pooled = [holder._con for holder in self.pool._holders if holder._con is not None]
        return [each for each in (*pooled, *self.relay_connections) if not each.is_closed()]


@dataclass
class System(Comparing[Process]):
    """The store, two processes, the tape, and the world that the model believes in."""

    dsn: str
    numbered: bool = False
    cached: int = 100
    crash_first: bool = False
    tape: Tape = field(default_factory=Tape)
    points: set[AwaitPoint] = field(default_factory=set)
    between: Between | None = None
    stops: int = 0
    struck: bool = False
    known: list[Known] = field(default_factory=list)
    letter_ids: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.observer, self.observing = await asyncpg.connect(self.dsn), asyncio.Lock()
        self.processes = [await self._process(number) for number in range(2)]
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(relay, "new_producer", lambda _: self.tape.producer())
        self._patch.setattr(asyncpg, "connect", self._connect)
        await self.begin()
        return self

    async def begin(self) -> None:
        """An empty store, an empty tape, and processes that know nothing."""
        await self.until_gone()
        await self.observer.execute(_RESET)
        self.world, self.tape, self.between = World(self.numbered), Tape(), None
        self.known, self.letter_ids, self.struck, self.stops = [], [], False, 0
        self.processes = [
            Process(number, self.dsn, self.numbered, process.pool, self.cached)
            for number, process in enumerate(self.processes)
        ]

    async def __aexit__(self, *_: object) -> None:
        self._patch.undo()
        for process in self.processes:
            process.pool.terminate()
        self.observer.terminate()

    async def _process(self, number: int) -> Process:
        pool = await connect_pool(self.dsn, size_max=3)
        return Process(number, self.dsn, self.numbered, pool, self.cached)

    _really_connect = staticmethod(asyncpg.connect)

    async def _connect(self, dsn: str, **options: Any) -> Any:
        """The relays' connections are remembered, so that they can be struck."""
        connection = await self._really_connect(dsn, **options)
        self.processes[int(dsn[-1])].relay_connections.append(connection)
        return connection

    # ---- crashes

    def _steps(self, who: int, crash: Crash | None) -> Steps:
        return Steps(partial(self.strike, self.processes[who]), crash, self.between)

    async def strike(self, process: Process, kind: str) -> None:
        """Break all connections of a process: from its side, with "end" from the server's; with "kill" for ever."""
        connections = process.connections()
        numbers = [connection.get_server_pid() for connection in connections]
        if kind == "end":
            async with self.observing:
                await self.observer.fetch("SELECT pg_terminate_backend(n) FROM unnest($1::int[]) n", numbers)
            return
        self.gone += numbers
        if kind == "kill":
            process.pool.terminate()
        for connection in connections:
            if connection._transport is not None:
                connection._transport.abort()

    async def _after(self, who: int, steps: Steps) -> None:
        self.points |= steps.points
        if steps.crash is not None:
            self.stops, self.struck = steps.stops, steps.struck
            if steps.struck and steps.crash.kind == "kill":
                self.processes[who] = await self._process(who)

    async def restart(self, who: int) -> None:
        """An orderly end and a new beginning: with it every cache is gone."""
        self.processes[who].pool.terminate()
        self.processes[who] = await self._process(who)

    # ---- what may happen

    async def hear(self, who: int, said: Sequence[tuple[Spoken, Record]], crash: Crash | None = None) -> None:
        """A batch is delivered to one process."""
        await self.settle(*await self.heard(who, said, crash))
        if crash is None:
            self._check_gaps(who, said)

    async def hear_both(
        self,
        first: Sequence[tuple[Spoken, Record]],
        second: Sequence[tuple[Spoken, Record]],
        crash: Crash | None = None,
    ) -> None:
        """Batches are delivered to both processes at the same moment; the first may crash."""
        threads = await asyncio.gather(self.heard(0, first, crash), self.heard(1, second, None))
        await self.settle(*threads[0], *threads[1])

    async def heard(
        self, who: int, said: Sequence[tuple[Spoken, Record]], crash: Crash | None
    ) -> list[tuple[list[Step], bool]]:
        """What a process heard, to be settled. After a fault that passed it may have heard the batch once more."""
        steps = self._steps(who, crash)
        (result,) = await steps.run(self.processes[who].consumer.handle([record for _, record in said]))
        await self._after(who, steps)
        if result is not None and not isinstance(result, asyncio.CancelledError):
            raise result  # a fault that passes is waited for, and nothing else comes out
        lanes = by_lane(spoken for spoken, _ in said)
        again = [(lane, True) for lane in lanes] if steps.struck or self.between else []
        return [*((lane, result is not None) for lane in lanes), *again]

    async def ask(self, who: int, commands: Sequence[To[Any]], crash: Crash | None = None) -> None:
        """Commands of concurrent requests reach one process."""
        await self.settle(*await self.asked(who, commands, crash))

    async def ask_and_hear(
        self, commands: Sequence[To[Any]], said: Sequence[tuple[Spoken, Record]], crash: Crash | None = None
    ) -> None:
        """One process takes commands while the other hears."""
        asked, heard = await asyncio.gather(self.asked(0, commands, crash), self.heard(1, said, None))
        await self.settle(*asked, *heard)

    async def asked(self, who: int, commands: Sequence[To[Any]], crash: Crash | None) -> list[tuple[list[Step], bool]]:
        """What was asked, to be settled. Each is a thread: of requests at the same time nobody knows who is first."""
        steps, process = self._steps(who, crash), self.processes[who]
        queue = CommandQueue(process.work, process.pool, process.store, queued_max=100, batch_max=3)
        running, *asking = steps.start(queue.run(), *map(queue.execute, commands))
        await asyncio.wait([running, asyncio.gather(*asking, return_exceptions=True)], return_when="FIRST_COMPLETED")
        if running.done():
            steps.end()  # nobody will answer any more
        queue.close()
        ended, *answers = await steps.results()
        await self._after(who, steps)
        if ended is not None and not isinstance(ended, asyncio.CancelledError):
            raise ended
        heard = [_answer(answer, dead=process.pool._closed) for answer in answers]
        return [([commanded(to, answer)], False) for to, answer in zip(commands, heard, strict=True)]

    async def look(self, who: int, crash: Crash | None = None) -> None:
        """A state is asked for."""
        steps, process = self._steps(who, crash), self.processes[who]
        (state,) = await steps.run(process.queue.state(heap, "C-1"))
        await self._after(who, steps)
        if not isinstance(state, asyncio.CancelledError | UnavailableError):
            assert state == (self.world.state("heap-C-1"), len(self.world.of("heap-C-1")))
        await self.settle()

    async def fetch(self, who: int, crash: Crash | None = None) -> None:
        """A read table is asked for."""
        steps, process = self._steps(who, crash), self.processes[who]
        (rows,) = await steps.run(process.queue.fetch("SELECT count(*) FROM coins"))
        await self._after(who, steps)
        if not isinstance(rows, asyncio.CancelledError | UnavailableError):
            assert rows[0][0] == len({fact.order_id for _, fact in self.world.facts if isinstance(fact, CoinsAdded)})
        await self.settle()

    async def retry(self, who: int, at: int, crash: Crash | None = None) -> None:
        """A letter is tried again."""
        may = self.world.letters[at].status in ("parked", "waiting") and not open_before(self.world, at)
        await self._letters(
            who, lambda p: p.letters.retry(self.letter_ids[at]), [retrying(self.world, at)] if may else [], crash
        )

    async def drop(self, who: int, at: int, crash: Crash | None = None) -> None:
        """A letter is given up."""
        may = self.world.letters[at].status in ("parked", "waiting") and not open_before(self.world, at)
        await self._letters(
            who, lambda p: p.letters.drop(self.letter_ids[at]), [dropping(self.world, at)] if may else [], crash
        )

    async def give_up_alone(self, at: int) -> None:
        """Somebody gave a letter up and crashed before trying those behind it."""
        await self.observer.execute("UPDATE dead_letters SET status = 'dropped' WHERE id = $1", self.letter_ids[at])
        await self.settle(([dropping(self.world, at)[0]], False))

    async def sweep(self, who: int, crash: Crash | None = None) -> None:
        """Letters that wait behind nothing are taken up."""
        threads = [retrying(self.world, at) for at in orphans(self.world)]
        await self._letters(who, lambda p: p.letters.sweep(), threads, crash, refusable=False)

    async def prune(self, who: int, crash: Crash | None = None) -> None:
        """Old letters are deleted; there are none so old."""
        await self._letters(who, lambda p: p.letters.prune(1), [], crash, refusable=False)

    async def _letters(
        self,
        who: int,
        act: Callable[[Process], Coroutine[Any, Any, Any]],
        threads: Sequence[list[Step]],
        crash: Crash | None,
        *,
        refusable: bool = True,
    ) -> None:
        steps = self._steps(who, crash)
        (result,) = await steps.run(act(self.processes[who]))
        await self._after(who, steps)
        unknown = isinstance(result, asyncio.CancelledError) or (isinstance(result, Exception) and passes(result))
        if isinstance(result, Exception) and not unknown:
            assert isinstance(result, ConflictError), repr(result)
            assert refusable, repr(result)
            assert not threads, repr(result)
        await self.settle(*((thread, unknown) for thread in threads))

    async def repair(self, at: int) -> None:
        """Somebody corrects a letter's amount to one coin. An order for nothing only waits: it is right as it is."""
        old = self.world.letters[at]
        if not old.message.commands:
            return
        to = old.message.commands[-1]
        notes: tuple[Row, ...] = ()
        if old.message.sequence:
            message = placed(to.command.order_id, to.key, 1)
            (commands, notes), body = _effects_of(message), body_of(message)
        else:
            inbound = Customer(to.key, to.command.order_id, "GB", "GBP", 1)
            commands, body = tuple(on_customer(inbound, None)), body_of(inbound)  # type: ignore[arg-type]
        await self.observer.execute("UPDATE dead_letters SET body = $2 WHERE id = $1", self.letter_ids[at], body)
        letters = list(self.world.letters)
        letters[at] = Kept(replace(old.message, commands=commands, notes=notes), old.status)
        self.world = replace(self.world, letters=tuple(letters))

    async def rebuild(self, who: int, crash: Crash | None = None) -> None:
        """The read tables are made anew, as far as they follow from facts: what others said, they must say again."""
        steps, process = self._steps(who, crash), self.processes[who]
        own = tuple(p for p in process.service.projections if not isinstance(p, MessageProjection))

        async def anew() -> None:
            async with process.pool.acquire() as connection:
                await rebuild(connection, replace(process.service, projections=own))

        await steps.run(anew())
        await self._after(who, steps)
        await self.settle()

    async def forget_snapshots(self) -> None:
        """A snapshot is a cache."""
        await self.observer.execute("DELETE FROM snapshots")

    async def relay(
        self,
        who: int,
        crash: Crash | None = None,
        again: Mapping[int, int] | None = None,
        commands: Sequence[To[Any]] = (),
        *,
        leaving: bool = False,
        finishing: bool = False,
    ) -> None:
        """One process publishes until nothing is left to say, or it crashes. Meanwhile it is asked something.

        `leaving`: the crash comes only when it ends, its stops counted from there. `finishing`: it is told to end,
        instead of being cancelled.
        """
        process, steps = self.processes[who], self._steps(who, None if leaving else crash)
        mark, heads = len(self.tape.said()), len(self.tape.heads())
        process.relay.say_again(again or {})
        (task,) = steps.start(process.relay.run())
        threads = []
        async with asyncio.timeout(20):
            while commands and not task.done() and not process.relay.leads:
                await asyncio.sleep(0.001)  # what is committed from now on is handed over in memory
            for command in commands:
                threads += await self.asked(who, [command], None)
                await self._see()
            while not task.done() and not self._all_said(process.relay, heads):
                await asyncio.sleep(0.001)
            turns = len(self.tape.heads()) + 2
            while steps.crash is not None and not task.done() and 0 < len(self.tape.heads()) < turns:
                await asyncio.sleep(0.001)  # a relay that has nothing to do is struck as well
        if finishing:
            await self._at_rest(process.relay, steps)
        finished, before = not task.done(), steps.stops if leaving else 0
        if leaving and crash is not None:
            steps.crash = replace(crash, at=before + crash.at)
        (process.relay.finish if finishing else steps.end)()
        (result,) = await steps.results()
        assert isinstance(result, asyncio.CancelledError) or (finishing and result is None), repr(result)
        await self._after(who, steps)
        if crash is not None:
            self.stops -= before
        process.relay_connections.clear()
        if finished:
            repeated = {(m.lane, m.sequence) for m in self.tape.said()[mark:]}
            for lane, start in (again or {}).items():
                assert repeated >= {(lane, n) for n in range(start, self.head_of(lane) + 1)}, "asked for and not said"
        await self.settle(*threads)

    @asynccontextmanager
    async def led_by_another(self, *, seconds: float) -> AsyncIterator[None]:
        """For so long another relay leads."""
        leader = await self._really_connect(self.dsn)
        await leader.execute("SELECT pg_advisory_lock(7201927)")

        async def resign() -> None:
            await asyncio.sleep(seconds)
            await leader.close()

        resigning = asyncio.create_task(resign())
        yield
        await resigning

    @staticmethod
    async def _at_rest(relay: Relay, steps: Steps) -> None:
        """Let it do nothing of its own any more: what it does when it is told to is the same each time."""
        relay._heads_seconds = relay._poll_seconds = 60.0
        stops = -1
        while stops != steps.stops:
            stops = steps.stops
            await asyncio.sleep(0.05)

    def _all_said(self, relay: Relay, heads: int) -> bool:
        last = self.known[-1][0] if self.known else 0
        return (
            relay.leads
            and relay.cursor >= last
            and not relay._asked
            and not relay._again
            and not relay._replay
            and self.tape.letters() >= set(self.letter_ids)
            and (not any(s for *_, s in self.known) or len(self.tape.heads()) > heads)
        )


def _answer(answer: Any, *, dead: bool) -> Any:
    """None when nobody knows what became of it: the dead refuse nothing."""
    if isinstance(answer, asyncio.CancelledError | UnavailableError) or (dead and isinstance(answer, Exception)):
        return None
    assert isinstance(answer, Outcome | Exception)
    return answer


__all__ = ["CUSTOMERS", "LANE", "OTHER_LANE", "TOPIC", "OrderPlaced", "System", "impatient", "order", "outside"]
