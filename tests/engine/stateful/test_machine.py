"""Anything may happen to the engine in any order: hypothesis makes the plan, the model says what must come of it.

Some plans are always the same, and a few new ones are tried in every run; `O2C_STATEFUL_EXAMPLES=1000` tries so many.
Their seed is printed: with it in `O2C_STATEFUL_SEED` they are played again.
"""

import asyncio
import os
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from shared.eventsourced.decider import To
from tests.connected.support_engine import Database
from tests.engine.records import Record
from tests.engine.stateful.model import Spoken
from tests.engine.stateful.service import FREE, UNWRITABLE, heap
from tests.engine.stateful.stepping import Crash
from tests.engine.stateful.system import CUSTOMERS, LANE, OTHER_LANE, System, impatient, order, outside, quicken
from tests.engine.toy import AddCoins, WriteReceipt, jar

pytestmark = pytest.mark.connected

FIXED = 10
EXAMPLES = int(os.environ.get("O2C_STATEFUL_EXAMPLES", "10"))
STEPS = 15
"""Of a plan, of which there are so many that are always the same, and so many new ones."""
LANES = (LANE, OTHER_LANE)

who = st.integers(0, 1)
amounts = st.sampled_from([FREE, 1, 2, 3, 4, 4, 13, 666, UNWRITABLE])
crashes = st.none() | st.builds(
    Crash, st.integers(0, 45), st.sampled_from(["kill", "kill", "cancel", "cut", "end"]), st.booleans()
)
runs = st.lists(st.tuples(st.integers(0, 1), st.integers(-2, 1), st.integers(1, 4)), min_size=1, max_size=3)
"""Parts of a batch: which lane, how far from what is next, how many."""
inbound = st.lists(st.builds(outside, st.sampled_from(CUSTOMERS), st.sampled_from("xy"), amounts), max_size=2)
commands: st.SearchStrategy[To[Any]] = st.one_of(
    st.builds(
        lambda decider, customer, effect, amount, expected: To(
            decider, customer, AddCoins(customer, effect, amount), expected
        ),
        st.sampled_from([jar, heap]),
        st.sampled_from(CUSTOMERS),
        st.sampled_from("pqrst"),
        amounts,
        st.none() | st.integers(0, 4),
    ),
    st.builds(lambda customer: To(jar, customer, WriteReceipt(customer, "asked")), st.sampled_from(CUSTOMERS)),
)
speech = st.lists(st.tuples(st.integers(0, 1), st.sampled_from("STU"), amounts), min_size=4, max_size=12)


class Machine(RuleBasedStateMachine):
    """Two processes, one store. Every rule ends with the comparison."""

    dsn = ""
    system: System

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.impatient = impatient()
        self.run(self.impatient.__aenter__())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Until it is done."""
        return self.runner.run(work)

    @initialize(
        numbered=st.booleans(),
        cached=st.sampled_from([1, 100]),
        first=speech,
        other=speech,
        partitions=st.integers(1, 3),
    )
    def begin(self, numbered: bool, cached: int, first: list[Any], other: list[Any], partitions: int) -> None:
        self.system = System(self.dsn, numbered, cached)
        self.run(self.system.__aenter__())
        self.system.tape.partitions = partitions
        self.spoken: Mapping[int, Sequence[tuple[Spoken, Record]]] = {
            LANE: [order(CUSTOMERS[c], n, follows, amount) for n, (c, follows, amount) in enumerate(first, 1)],
            OTHER_LANE: [order(CUSTOMERS[2], n, follows, amount) for n, (_, follows, amount) in enumerate(other, 1)],
        }

    def batch(self, parts: Sequence[tuple[int, int, int]]) -> list[tuple[Spoken, Record]]:
        """Messages near to what is next in their lanes, as far as they have been said."""
        found: list[tuple[Spoken, Record]] = []
        for number, offset, length in parts:
            lane = LANES[number]
            start = max(self.system.world.positions.get(lane, 0) + offset, 0)
            found += self.spoken[lane][start : start + length]
        return found

    @rule(who=who, parts=runs, more=inbound, crash=crashes)
    def hear(self, who: int, parts: Any, more: Any, crash: Crash | None) -> None:
        self.run(self.system.hear(who, [*self.batch(parts), *more], crash))

    @rule(parts=runs, others=runs, crash=crashes)
    def hear_both(self, parts: Any, others: Any, crash: Crash | None) -> None:
        self.run(self.system.hear_both(self.batch(parts), self.batch(others), crash))

    @rule(who=who, asked=st.lists(commands, min_size=1, max_size=5), crash=crashes)
    def ask(self, who: int, asked: Any, crash: Crash | None) -> None:
        self.run(self.system.ask(who, asked, crash))

    @rule(asked=st.lists(commands, min_size=1, max_size=3), parts=runs, crash=crashes)
    def ask_and_hear(self, asked: Any, parts: Any, crash: Crash | None) -> None:
        self.run(self.system.ask_and_hear(asked, self.batch(parts), crash))

    # No preconditions: what there is when two processes have acted at once is chance, and the plans must not be.

    @rule(
        who=who,
        which=st.integers(0, 30),
        repair=st.booleans(),
        act=st.sampled_from(["retry", "retry", "drop"]),
        crash=crashes,
    )
    def take_up_letter(self, who: int, which: int, repair: bool, act: str, crash: Crash | None) -> None:
        if not self.system.world.letters:
            return
        at = which % len(self.system.world.letters)
        if repair:
            self.run(self.system.repair(at))
        self.run(getattr(self.system, act)(who, at, crash))

    @rule(who=who, crash=crashes)
    def sweep(self, who: int, crash: Crash | None) -> None:
        if self.system.world.open():
            self.run(self.system.sweep(who, crash))

    @rule(
        who=who,
        again=st.dictionaries(st.sampled_from(LANES), st.integers(1, 5), max_size=2),
        failures=st.lists(st.sampled_from(["", "lost", "unheard"]), max_size=4),
        asked=st.lists(commands, max_size=3),
        crash=crashes,
    )
    def relay(self, who: int, again: Any, failures: Any, asked: Any, crash: Crash | None) -> None:
        self.system.tape.failures[:] = failures
        self.run(self.system.relay(who, crash, again, asked))

    @rule(who=who)
    def restart(self, who: int) -> None:
        self.run(self.system.restart(who))

    @rule(who=who, what=st.sampled_from(["look", "fetch"]), crash=crashes)
    def look(self, who: int, what: str, crash: Crash | None) -> None:
        self.run(getattr(self.system, what)(who, crash))

    @rule(who=who, crash=crashes)
    def rebuild(self, who: int, crash: Crash | None) -> None:
        self.run(self.system.rebuild(who, crash))

    @rule()
    def forget_snapshots(self) -> None:
        self.run(self.system.forget_snapshots())

    def teardown(self) -> None:
        """In the end everything is heard, said and at rest."""
        try:
            if hasattr(self, "system"):
                self.run(self.rest())
        finally:
            if hasattr(self, "system"):
                self.run(self.system.__aexit__())
            self.run(self.impatient.__aexit__(None, None, None))
            self.runner.close()

    async def rest(self) -> None:
        everything = [message for lane in LANES for message in self.spoken[lane]]
        await self.system.hear(0, everything)
        await self.system.sweep(1)
        self.system.tape.failures.clear()
        await self.system.relay(1)
        await self.system.relay(0)
        world = self.system.world
        assert world.positions == {lane: len(said) for lane, said in self.spoken.items()}
        effects = [
            fact.order_id for stream, fact in world.facts if stream.startswith("heap") and hasattr(fact, "order_id")
        ]
        heard = [effect for effect in effects if effect.startswith("O-")]
        assert len(heard) == len(set(heard))
        self.system.check_everything_said()


def _on(database: Database) -> type[Machine]:
    asyncio.run(quicken(database.dsn))
    return type("Machine", (Machine,), {"dsn": database.dsn})


def _play(machine: type[Machine], **options: Any) -> None:
    always: dict[str, Any] = {"stateful_step_count": STEPS, "deadline": None, "database": None}
    checks = list(HealthCheck)
    run_state_machine_as_test(machine, settings=settings(**always, suppress_health_check=checks, **options))


def test_whatever_happens_the_store_is_what_the_model_says(database: Database) -> None:
    _play(_on(database), max_examples=FIXED, derandomize=True, print_blob=True)


def test_so_it_is_with_plans_that_nobody_has_seen(database: Database) -> None:
    chosen = int(os.environ.get("O2C_STATEFUL_SEED") or random.randrange(2**32))
    again = f"O2C_STATEFUL_SEED={chosen} O2C_STATEFUL_EXAMPLES={EXAMPLES}"
    print(again)
    try:
        # A plan is told as it was found: looking for a shorter one would take minutes.
        _play(seed(chosen)(_on(database)), max_examples=EXAMPLES, derandomize=False, phases=[Phase.generate])
    except BaseException as error:
        error.add_note(f"to repeat it: {again}")
        raise
