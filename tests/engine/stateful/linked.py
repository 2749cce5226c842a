"""The system with its link to Kafka: members that take and tell, the control topic, and a store that was set back."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import msgspec
from aiokafka import TopicPartition
from faststream.kafka import KafkaBroker

from shared.eventsourced.acknowledging import Acknowledging
from shared.eventsourced.consumer import subscribe
from shared.eventsourced.faults import passes
from shared.eventsourced.gathering import Gathering
from shared.eventsourced.resending import Control, Resending
from shared.eventsourced.restoring import Said, mend, origin_problem, overtaken
from shared.kafka import CONTROL_TOPIC
from tests.connected.support_engine import SERVICE
from tests.engine.records import Record
from tests.engine.stateful.model import Spoken, Thread, by_lane, mending
from tests.engine.stateful.stepping import Crash
from tests.engine.stateful.system import Process, System
from tests.engine.stateful.tape import Tape, TapeClient

RECORDS_MAX = 3
"""In a batch: the log of a scene comes in several."""


class Member:
    """A process in its group: the loop in which FastStream takes, hears and acknowledges, on a client of the tape.

    `done`: what it does beside hearing has come to its end.
    """

    def __init__(self, process: Process, tape: Tape, patience: int) -> None:
        self._tape, self.client, self._acknowledging = tape, TapeClient(tape, patience), Acknowledging()
        self.done = asyncio.Event()
        broker = KafkaBroker("", enable_idempotence=False, apply_types=False, logger=None)
        self._subscriber = subscribe(
            broker,
            [place.topic for place in tape.heard],
            process.consumer.handle,
            group_id=SERVICE,
            gathering=Gathering(records_max=RECORDS_MAX, poll_ms=1, gather_ms=1),
            acknowledging=self._acknowledging,
            wait_ms=1,
            session_ms=6_000,
        )
        broker._setup_logger()  # this and the next two: what starting does beside connecting to Kafka
        self._subscriber._build_fastdepends_model()
        self._subscriber._post_start()

    async def hear(self) -> None:
        """One batch after the other, until the client is stopped."""
        await self._subscriber._run_consume_loop(self.client)

    async def finish(self) -> None:
        """The process is to end; a batch is in hand."""
        await self.client.drained.wait()
        await self._acknowledging.finish()

    async def give_away(self) -> None:
        """All partitions go to another member; a batch is in hand."""
        await self.client.drained.wait()
        await self._acknowledging.on_partitions_revoked(list(self.client.assignment()))
        self.client.ours = False

    async def get_back(self) -> None:
        """They come again, where the group is by now."""
        await self._acknowledging.on_partitions_revoked([])
        self.client.ours, self.client.taken = True, self._tape.told()
        self._acknowledging.on_partitions_assigned(list(self.client.assignment()))


@dataclass
class Linked(System):
    """`said`: what lies on the log that the group hears, by partition."""

    said: dict[TopicPartition, list[Spoken]] = field(default_factory=dict)

    async def begin(self) -> None:
        await super().begin()
        self.said.clear()

    async def settle(self, *threads: Thread) -> None:
        await super().settle(*threads)
        self._check_told()

    def _check_told(self) -> None:
        """The group goes on behind nothing that is not done, and never goes back."""
        for place, offset in self.tape.told().items():
            undone = [spoken.id for spoken in self.said[place][:offset] if not self._is_done(spoken)]
            assert not undone, f"told and not done: {undone}"
        for commit, later in pairwise(self.tape.commits):
            assert all(later.get(place, offset) >= offset for place, offset in commit.items()), self.tape.commits

    def _is_done(self, spoken: Spoken) -> bool:
        if spoken.sequence:
            return spoken.sequence <= self.world.positions.get(spoken.lane, 0)
        effects = {(stream, getattr(fact, "order_id", "")) for stream, fact in self.world.facts}
        kept = {letter.message.id for letter in self.world.letters}
        return spoken.id in kept or all((to.stream, to.command.order_id) in effects for to in spoken.commands)

    # ---- the group

    def say(self, *said: tuple[Spoken, Record]) -> None:
        """Others say this to us."""
        log = dict(self.tape.heard)
        for spoken, record in said:
            place = TopicPartition(record.topic, record.partition)
            earlier = log.get(place, [])
            log[place] = [*earlier, replace(record, offset=len(earlier))]
            self.said.setdefault(place, []).append(spoken)
        self.tape.heard = log

    def member(self, who: int, *, patience: int = 0) -> Member:
        """A process joins the group. `patience`: so many polls may bring nothing before it is stopped."""
        return Member(self.processes[who], self.tape, patience)

    async def take(self, who: int, crash: Crash | None = None, *, patience: int = 0, ending: str = "") -> None:
        """A process hears the log to its end. `ending`: what else the member does, when the last batch is in hand."""
        await self.settle(*await self.taken(who, self.member(who, patience=patience), crash, ending))

    async def taken(self, who: int, member: Member, crash: Crash | None = None, ending: str = "") -> list[Thread]:
        """What a member heard, to be settled."""
        told, steps = self.tape.told(), self._steps(who, crash)
        beside = [getattr(member, ending)()] if ending else []
        hearing_, *others = steps.start(member.hear(), *beside)
        hearing_.add_done_callback(lambda _: member.client.drained.set())  # who was cancelled takes no more
        for other in others:
            other.add_done_callback(lambda _: member.done.set())
        for result in await steps.results():
            if result is not None and not isinstance(result, asyncio.CancelledError):
                raise result
        await self._after(who, steps)
        behind = [spoken[told.get(place, 0) :] for place, spoken in self.said.items()]
        threads = [(lane, steps.struck) for spoken in behind for lane in by_lane(spoken)]
        repeated = [(thread, True) for thread, _ in threads] if steps.struck or steps.between else []
        return [*threads, *repeated]

    # ---- the control topic

    async def listen(self, who: int, controls: Sequence[Control], crash: Crash | None = None) -> None:
        """Control messages reach a process, which looks after each whether something does not come."""
        steps, process = self._steps(who, crash), self.processes[who]
        resending = self._resending(process)

        async def listening() -> None:
            for control in controls:
                await resending.hear([Record(msgspec.json.encode(control))])
                for _ in range(2):  # what stands still is seen the second time
                    await resending.check(process.consumer.gaps)

        (result,) = await steps.run(listening())
        await self._after(who, steps)
        if isinstance(result, Exception) and not passes(result):
            raise result
        await self.settle()

    def _resending(self, process: Process) -> Resending:
        async def send(value: bytes) -> None:
            await asyncio.sleep(0)
            self.tape.records.append(Record(value, topic=CONTROL_TOPIC))

        async def taken() -> Callable[[tuple[str, int]], bool]:
            await asyncio.sleep(0)
            return lambda _: True

        async def on_heard(heard: Mapping[int, int]) -> None:
            async with process.pool.acquire() as connection:
                process.work.refusal = await overtaken(connection, SERVICE, heard)

        return Resending(SERVICE, process.relay, ["order"], process.read_positions, send, taken, on_heard)

    # ---- a store that was set back

    async def start(self, who: int, crash: Crash | None = None) -> str | None:
        """A process asks whether it may write. Why not; None when it did not hear."""
        steps, process = self._steps(who, crash), self.processes[who]

        async def starting() -> str:
            async with process.pool.acquire() as connection:
                return await origin_problem(connection, SERVICE)

        (problem,) = await steps.run(starting())
        await self._after(who, steps)
        if isinstance(problem, Exception) and not passes(problem):
            raise problem
        await self.settle()
        return problem if isinstance(problem, str) else None

    async def mend(
        self,
        who: int,
        heard: Mapping[int, int],
        known: Mapping[tuple[int, int], Said],
        crash: Crash | None = None,
    ) -> None:
        """The places that others have heard and the store has forgotten are filled."""
        steps, process = self._steps(who, crash), self.processes[who]

        async def filling() -> None:
            async with process.pool.acquire() as connection, connection.transaction():
                await mend(connection, heard, known, 0)

        (result,) = await steps.run(filling())
        await self._after(who, steps)
        if isinstance(result, Exception) and not passes(result):
            raise result
        await self.settle(([mending(heard, known)], result is not None))
