"""The scenes of a process and its Kafka: what it takes and tells, what it asks for, and what it hears of its own store.

The log is the tape's; FastStream's loop and all of the engine on it are the real ones.
"""

from collections.abc import Coroutine
from typing import Any

import pytest

from shared.eventsourced import consumer
from shared.eventsourced.decider import To
from shared.eventsourced.resending import Control
from shared.eventsourced.restoring import Said
from tests.connected.support_engine import SERVICE
from tests.engine.stateful.linked import Linked
from tests.engine.stateful.model import Thread, number
from tests.engine.stateful.scenes import A2, FIRST, A, B
from tests.engine.stateful.stepping import AwaitPoint, Crash, loads
from tests.engine.stateful.system import LANE, OTHER_LANE, order, outside
from tests.engine.toy import WriteReceipt, jar

LOG = [
    *FIRST,
    order(A, 3, "S", 13),  # is refused
    order(A2, 4, "S", 1),  # waits behind it
    outside(B, "bad", 13),
    outside(A, "hello", 5),
]
"""Three batches: the second is small at first, and another partition has more; the last stays small."""


async def taken(system: Linked, crash: Crash | None) -> None:
    """Batches are taken and acknowledged, Kafka refuses to know of the first, and all is told at rest."""
    system.say(*LOG)
    system.tape.refusals = 1
    await system.take(0, crash, patience=1)
    assert system.struck or system.tape.commits == [system.tape.ends()], "it told more, or less, than at rest"
    await system.take(1, patience=1)
    assert system.tape.told() == system.tape.ends()
    assert [kept.status for kept in system.world.letters] == ["parked", "waiting", "parked"]


async def finished(system: Linked, crash: Crash | None) -> None:
    """A process is to end while a batch is in hand: what is done is told at once, and that batch when it is."""
    system.say(*LOG)
    await system.take(0, crash, ending="finish")
    assert system.struck or (len(system.tape.commits), system.tape.told()) == (3, system.tape.ends())
    await system.take(1, patience=1)
    assert system.tape.told() == system.tape.ends()


async def given_away(system: Linked, crash: Crash | None) -> None:
    """Another member takes over while a batch is in hand, goes on, and gives all back: that batch is told no more."""
    system.say(*LOG)
    member, others, begun = system.member(0), list[Thread](), list[dict[Any, int]]()

    async def overtake() -> None:
        system.between = None
        await member.done.wait()
        if not member.client.ours:  # else the crash was there
            system.say(outside(A, "more", 5))
            begun.append(system.tape.told())
            others.extend(await system.taken(1, system.member(1, patience=1)))
            await member.get_back()

    def between(points: set[AwaitPoint]) -> Coroutine[Any, Any, None] | None:
        return overtake() if member.client.drained.is_set() and not others and loads(points) else None

    system.between = between
    heard = await system.taken(0, member, crash, ending="give_away")
    system.between = None
    if not system.struck:
        assert [sum(told.values()) for told in begun] == [len(LOG) - 1], "the other begins behind what was done"
        await member.finish()
    await system.settle(*heard, *others)
    await system.take(1, patience=1)
    assert system.tape.told() == system.tape.ends()


async def handed_back(system: Linked, crash: Crash | None) -> None:
    """A fault outlasts the patience: the batch goes back to Kafka and is taken again."""
    system.say(*LOG[:2])
    member, process = system.member(0), system.processes[0]
    system.between = lambda points: (
        system.strike(process, "end") if not member.client.sought and loads(points) else None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumer, "PATIENCE_SECONDS", 0)
        heard = await system.taken(0, member, crash)
    system.between = None
    assert system.struck or member.client.sought == 1, "it was never handed back"
    await system.settle(*heard)
    await system.take(1, patience=1)
    assert system.tape.told() == system.tape.ends()


async def missed(system: Linked, crash: Crash | None) -> None:
    """A lane that stands behind its head and one with a hole are asked for; a speaker that knows less is told so."""
    for who in (1, 0):
        await system.hear(who, [*FIRST, order(B, 3, "S", 1)])
    heads = Control("heads", "order", heads={LANE: 4})
    fewer = Control("heads", "order", heads={LANE: 1, OTHER_LANE: 1})
    await system.listen(0, [heads, fewer], crash)
    await system.listen(1, [heads, fewer])
    assert system.tape.controls("resend")[-1].lanes == {LANE: 3, OTHER_LANE: 2}
    assert system.tape.controls("heard")[-1].lanes == {LANE: 2}


async def outrun(system: Linked, crash: Crash | None) -> None:
    """Others have heard more of us than we have stored: nothing is written any more, also not after a new start."""
    await system.hear(1, FIRST)
    await system.start(1)
    ahead = Control("heard", SERVICE, lanes={LANE: system.world.head(LANE) + 1})
    await system.listen(0, [ahead], crash)
    await system.listen(1, [ahead])
    problem = system.processes[1].work.refusal
    assert f"o2c restored {SERVICE}" in problem
    assert await system.start(0) == problem


async def started(system: Linked, crash: Crash | None) -> None:
    """A new store comes to know where it is at home."""
    await system.start(0, crash)
    assert await system.start(1) == ""


async def mended(system: Linked, crash: Crash | None) -> None:
    """A store that was set back is filled up, the lanes go on behind what was lost, and no number is used again."""
    await system.hear(1, FIRST)
    await system.observer.execute("INSERT INTO origin VALUES (true, 'another', 1)")
    assert "restored" in (await system.start(1) or "")
    heads = {lane: system.world.head(lane) for lane in (LANE, OTHER_LANE)}
    heard = {LANE: heads[LANE] + 2, OTHER_LANE: heads[OTHER_LANE] + 1}
    known = {(LANE, heads[LANE] + 2): Said("jar-C-1@9", "o2c.credit.Any.v1", number(system.world.taken() + 1))}
    await system.mend(0, heard, known, crash)
    await system.mend(1, heard, known)
    assert await system.start(1) == ""
    await system.ask(1, [To(jar, A, WriteReceipt(A, "r"))])
    assert system.world.head(LANE) == heard[LANE] + 1


SCENES = (taken, finished, given_away, handed_back, missed, outrun, started, mended)
