"""Looking at the store, the caches, the read tables and the tape, which must all be what the model says."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from shared.eventsourced.mapper import decode_fact, decode_state
from shared.eventsourced.restoring import Lost
from tests.connected.support_engine import Replica
from tests.engine.records import Record, body_of
from tests.engine.stateful.model import Kept, Spoken, Step, World, explained, letters_of
from tests.engine.stateful.service import DECIDERS
from tests.engine.stateful.tape import Tape
from tests.engine.toy import CoinsAdded

P = TypeVar("P", bound=Replica)

Known = tuple[int, int | None, int]
"""(notification id, lane, sequence) of a fact that was seen; None and 0 for private ones."""


class Comparing(Generic[P]):
    """What can be seen of a system, and the world that the model believes in.

    `known`: the facts seen so far; `letter_ids`: ids of the letters in their order; `gone`: backends of dead processes.
    `crash_first`: what leads to the crash is not looked at as closely as what follows it.
    """

    observer: Any
    observing: asyncio.Lock
    world: World
    numbered: bool
    processes: list[P]
    tape: Tape
    known: list[Known]
    letter_ids: list[int]
    gone: list[int]
    struck: bool
    crash_first: bool

    async def settle(self, *threads: tuple[Sequence[Step], bool]) -> None:
        """See what became of it, find the world that it is, and check everything that shall be so in it."""
        seen = await self._see()
        found = explained(self.world, seen, threads)
        assert found is not None, _difference(self.world, seen)
        self.world = found
        if self.struck or not self.crash_first:
            await self._check_states()
            await self._check_tables()
            await self._check_tape()

    async def until_gone(self) -> None:
        """What a dead process had sent may still be carried out."""
        while self.gone and await self.observer.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", self.gone
        ):
            await asyncio.sleep(0.002)
        self.gone.clear()

    async def _see(self) -> World:
        await self.until_gone()
        async with self.observing, self.observer.transaction():
            await self.observer.execute("SELECT lock_store()")  # nobody is between writing and committing
            rows = await self.observer.fetch("SELECT * FROM events ORDER BY notification_id")
            positions = await self.observer.fetch("SELECT speaker, lane, sequence FROM positions WHERE sequence > 0")
            letters = await self.observer.fetch("SELECT id, message_id, status FROM dead_letters ORDER BY id")
            heads = dict(await self.observer.fetch("SELECT lane, head FROM lanes WHERE head > 0"))
        self._check_rows(rows, heads)
        self.letter_ids = [row["id"] for row in letters]
        assert {speaker for speaker, *_ in positions} <= {"order"}
        recorded = [decode_fact(r["originator_id"], r["originator_version"], r["topic"], r["state"]) for r in rows]
        return World(
            self.numbered,
            tuple((each.originator_id, each.fact) for each in recorded),
            {lane: sequence for _, lane, sequence in positions},
            tuple(Kept(Spoken(message_id, 0, 0, "", ()), status) for _, message_id, status in letters),
        )

    def _check_rows(self, rows: Sequence[Any], heads: Mapping[int, int]) -> None:
        """Versions and sequences have no gaps, and nothing ever appears before what was there already."""
        known = [(row["notification_id"], row["lane"], row["sequence"] or 0) for row in rows]
        assert known[: len(self.known)] == self.known, "history has changed"
        self.known = known
        versions: dict[str, int] = {}
        sequences: dict[int, int] = {}
        for row in rows:
            stream, lane = row["originator_id"], row["lane"]
            versions[stream] = versions.get(stream, 0) + 1
            assert row["originator_version"] == versions[stream]
            if lane is not None:
                sequences[lane] = sequences.get(lane, 0) + 1
                assert row["sequence"] == sequences[lane]
        assert sequences == heads

    async def _check_states(self) -> None:
        """What each process believes or reads of each stream, and each snapshot, is its facts folded."""
        streams = {
            stream: DECIDERS[stream.partition("-")[0]]
            for stream, fact in self.world.facts
            if not isinstance(fact, Lost)
        }
        for process in self.processes:
            for stream, entry in process.store.cache._entries.items():
                facts = self.world.of(stream)[: entry.version]
                assert (len(facts), streams[stream].fold(facts)) == (entry.version, entry.state)
            found = await process.store.load(self.observer, streams)
            for stream in streams:
                assert found[stream].state == self.world.state(stream)
        for stream, version, data in await self.observer.fetch(
            "SELECT originator_id, originator_version, state FROM snapshots"
        ):
            facts, decider = self.world.of(stream)[:version], streams[stream]
            assert len(facts) == version
            assert decode_state(type(decider.initial), data) == decider.fold(facts)

    async def _check_tables(self) -> None:
        coins: dict[str, tuple[str, int]] = {}
        for _, fact in self.world.facts:
            if isinstance(fact, CoinsAdded):
                customer, amount = coins.get(fact.order_id, (fact.customer_id, 0))
                coins[fact.order_id] = customer, amount + fact.amount_minor
        found = await self.observer.fetch("SELECT order_id, customer_id, amount_minor FROM coins")
        assert {row[0]: tuple(row[1:]) for row in found} == coins
        jars = {}
        for stream in {stream for stream, _ in self.world.facts}:
            kind, _, key = stream.partition("-")
            if kind in ("jar", "heap"):
                state = self.world.state(stream)
                jars[key if kind == "jar" else f"heap {key}"] = state.total_minor, len(state.coins)
        found = await self.observer.fetch("SELECT customer_id, total_minor, coins FROM jars")
        assert {row[0]: tuple(row[1:]) for row in found} == jars
        found = await self.observer.fetch("SELECT customer_id, messages, amount_minor FROM noted")
        assert {row[0]: tuple(row[1:]) for row in found} == self.world.notes()
        assert (await self.observer.fetchval("SELECT last FROM number_series") or 0) == self.world.taken()

    async def _check_tape(self) -> None:
        """What the cursor has passed can be heard by a listener who takes the next and only that; and it is true."""
        cursor, letters = await self.observer.fetchrow("SELECT cursor, letters FROM relay")
        says = self.processes[0].service.says
        bodies = {
            (lane, n): body_of(fact if isinstance(fact, Lost) else says[type(fact)].of(fact))
            for _, lane, n, fact in self._public()
        }
        heard: dict[int, int] = {}
        for message in self.tape.said():
            assert message.body == bodies[message.lane, message.sequence]
            heard[message.lane] = heard.get(message.lane, 0) + (message.sequence == heard.get(message.lane, 0) + 1)
        for number, lane, sequence, _ in self._public():
            if number <= cursor:
                assert sequence <= heard.get(lane, 0), f"the cursor is at {cursor}, but {lane}:{sequence} was not said"
        for heads in self.tape.heads():
            assert all(head <= self.head_of(lane) for lane, head in heads.items())
        assert self.tape.letters() >= {number for number in self.letter_ids if number <= letters}

    def check_everything_said(self) -> None:
        """Nothing is left to say, and the last heads that were said are right."""
        heads = {lane: self.head_of(lane) for _, lane, _, _ in self._public()}
        heard: dict[int, int] = {}
        for message in self.tape.said():
            heard[message.lane] = heard.get(message.lane, 0) + (message.sequence == heard.get(message.lane, 0) + 1)
        assert heard == heads
        assert not heads or self.tape.heads()[-1] == heads

    def _public(self) -> list[tuple[int, int, int, Any]]:
        """(notification id, lane, sequence, fact)"""
        known = zip(self.known, self.world.facts, strict=True)
        return [(number, lane, sequence, fact) for (number, lane, sequence), (_, fact) in known if lane is not None]

    def _check_gaps(self, who: int, said: Sequence[tuple[Spoken, Record]]) -> None:
        """A process that was handed something behind a hole knows of it, for as long as it has not heard that."""
        gaps, positions = self.processes[who].consumer.gaps, self.world.positions
        for lane in {spoken.lane for spoken, _ in said} & {lane for _, lane in gaps}:
            assert gaps["order", lane] > positions.get(lane, 0)
        for spoken, _ in said:
            if spoken.sequence > positions.get(spoken.lane, 0):
                assert gaps["order", spoken.lane] >= spoken.sequence

    def head_of(self, lane: int) -> int:
        return max((s for _, own, s in self.known if own == lane), default=0)


def _difference(world: World, seen: World) -> str:
    return "\n".join(
        ["no order of what happened leads to what is seen"]
        + [f"  {name}: {getattr(world, name)}\n     seen: {getattr(seen, name)}" for name in ("facts", "positions")]
        + [f"  letters: {letters_of(world)}\n     seen: {letters_of(seen)}"]
    )
