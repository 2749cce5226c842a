"""The scenes of hearing, answering, retrying and publishing: one thing in each is struck.

A scene says what comes before, what is struck, and what must come of it in the end, whenever it was struck.
"""

from collections.abc import Coroutine
from typing import Any

from shared.eventsourced.decider import To
from tests.engine.stateful.model import Thread
from tests.engine.stateful.service import FREE, UNWRITABLE, heap
from tests.engine.stateful.stepping import AwaitPoint, Crash, loads
from tests.engine.stateful.system import CUSTOMERS, LANE, OTHER_LANE, System, order, outside
from tests.engine.toy import AddCoins, WriteReceipt, jar

STANDING_STOPS = 15
"""To connect, to ask for the lock in vain, to wait."""

A, A2, B = CUSTOMERS


def coins(decider: Any, customer: str, effect: str, amount: int = 1, expected: int | None = None) -> To[Any]:
    return To(decider, customer, AddCoins(customer, effect, amount), expected)


FIRST = [order(A, 1, "S", 4), order(A2, 2, "T", 3), order(B, 1, "S", 2)]
SECOND = [
    order(A, 3, "S", 13),  # is refused
    order(A2, 3, "S", 13),  # a repeat
    order(A2, 4, "S", 1),  # waits behind it
    order(B, 3, "S", 1),  # behind a hole
    order(B, 2, "S", 8),
    outside(A, "hello", 5),
    outside(A, "hello", 5),
    outside(B, "bad", 13),
]


async def messages(system: System, crash: Crash | None) -> None:
    """Repeats, a hole, a message that is refused and its follower, others, and a snapshot that is due."""
    await system.hear(0, FIRST)
    await system.hear(0, SECOND, crash)
    await system.hear(1, SECOND)
    assert system.world.positions[LANE] == 4
    assert [kept.status for kept in system.world.letters] == ["parked", "waiting", "parked"]


async def behind_letters(system: System, crash: Crash | None) -> None:
    """More streams have open letters than are remembered."""
    await system.hear(0, [order(A, 1, "S", 13), order(A, 2, "S", 1), order(A, 3, "T", 13)])
    more = [order(A, 4, "S", 1), order(A2, 5, "U", 2), order(A, 6, "T", 1)]
    await system.hear(0, more, crash)
    await system.hear(1, more)
    assert [kept.status for kept in system.world.letters] == ["parked", "waiting", "parked", "waiting", "waiting"]


async def parked_elsewhere(system: System, crash: Crash | None) -> None:
    """A message waits behind one that another process has parked."""
    await system.hear(1, [order(A, 1, "S", 13)])
    await system.hear(0, [order(A, 2, "S", 1)], crash)
    await system.hear(1, [order(A, 2, "S", 1)])
    assert [kept.status for kept in system.world.letters] == ["parked", "waiting"]


async def first_messages(system: System, crash: Crash | None) -> None:
    """A process without any picture of positions, states or waiting streams."""
    await system.hear(1, SECOND[:3])
    await system.hear(0, FIRST, crash)
    await system.hear(0, [*FIRST, *SECOND])
    assert system.world.positions[LANE] == 4


async def unwritable(system: System, crash: Crash | None) -> None:
    """One message makes the database refuse the batch, which is taken apart."""
    batch = [order(A, 1, "T", UNWRITABLE), order(A2, 2, "T", 5)]
    await system.hear(0, batch, crash)
    await system.hear(1, batch)
    assert [kept.status for kept in system.world.letters] == ["parked", "waiting"]


async def taken_over(system: System, crash: Crash | None) -> None:
    """The other process has heard on meanwhile: the next message is not next any more."""
    await system.hear(0, FIRST[:1])
    await system.hear(1, FIRST)
    await system.hear(0, [FIRST[1], *SECOND[5:], FIRST[2]], crash)
    await system.hear(0, [*FIRST, *SECOND])
    assert system.world.positions[LANE] == 4


async def old_picture(system: System, crash: Crash | None) -> None:
    """The other process has heard on meanwhile: what looks like a hole is none."""
    await system.hear(0, FIRST[:1])
    await system.hear(1, FIRST)
    await system.hear(0, SECOND, crash)
    await system.hear(0, SECOND)
    assert system.world.positions[LANE] == 4


async def raced(system: System, crash: Crash | None) -> None:
    """Another writer is first, twice, so that the third attempt is decided under the lock."""
    others: list[Thread] = []
    work = system.processes[0].work

    async def write() -> None:
        system.between = None
        others.extend(await system.asked(1, [coins(jar, B, f"raced {len(others)}")], None))

    def between(points: set[AwaitPoint]) -> Coroutine[Any, Any, None] | None:
        return write() if len(others) == work.conflicts < 2 and loads(points) else None

    await system.hear(0, FIRST)
    system.between = between
    more = [order(B, 2, "S", 8), order(B, 3, "S", 1)]  # none is refused: then all would be read again
    heard = await system.heard(0, more, crash)
    system.between = None
    assert system.struck or (len(others), work.conflicts) == (2, 2), "nobody was in its way twice"
    await system.settle(*heard, *others)
    await system.hear(0, more)
    assert system.world.positions[OTHER_LANE] == 3


async def only_noted(system: System, crash: Crash | None) -> None:
    """Messages lead to rows that add up, and to no fact; the other process has heard one of them meanwhile."""
    free = [order(A, n, "S", FREE) for n in (1, 2, 3)]
    await system.hear(0, free[:1])
    await system.hear(1, free[:2])
    await system.hear(0, [*free[1:], order(B, 1, "S", FREE)], crash)
    await system.hear(1, free)
    assert system.world.positions[LANE] == 3
    assert not system.world.facts


ENDED = 4
"""Connections that are ended, one after the other."""


async def disturbed(system: System, crash: Crash | None) -> None:
    """The server ends all connections in the middle of a batch, which waits and is taken up again."""
    process, ended = system.processes[0], set[int]()

    async def end() -> None:
        ended.update(connection.get_server_pid() for connection in process.connections())
        await system.strike(process, "end")

    system.between = lambda points: end() if len(ended) < ENDED and loads(points) else None
    heard = await system.heard(0, FIRST, crash)
    system.between = None
    assert system.struck or len(ended) >= ENDED, "it was never disturbed"
    await system.settle(*heard)
    await system.hear(0, FIRST)
    assert system.world.positions[LANE] == 2


async def requests(system: System, crash: Crash | None) -> None:
    """Concurrent requests: one refused, one of an old version, one that the database refuses, and a repeat."""
    await system.ask(1, [coins(jar, A, "1"), coins(heap, B, "2")])
    commands = [
        coins(jar, A, "3", expected=1),
        coins(jar, A, "4", expected=1),
        coins(jar, B, "5", 13),
        coins(heap, B, "6", UNWRITABLE),
        To(jar, A, WriteReceipt(A, "r")),
    ]
    await system.ask(0, commands, crash)
    await system.ask(1, [coins(jar, A, "3"), coins(jar, A, "1")])
    assert len([fact for fact in system.world.of(f"jar-{A}") if getattr(fact, "order_id", "") == "3"]) == 1


async def outnumbered(system: System, crash: Crash | None) -> None:
    """The other process has taken the next number meanwhile: what was decided is decided again behind it."""
    await system.ask(0, [To(jar, A, WriteReceipt(A, "first"))])
    await system.ask(1, [To(jar, A2, WriteReceipt(A2, "second"))])
    await system.ask(0, [To(jar, B, WriteReceipt(B, "third"))], crash)
    await system.ask(1, [To(jar, B, WriteReceipt(B, "fourth"))])


async def looking(system: System, crash: Crash | None) -> None:
    """A state is read."""
    await system.hear(1, FIRST)
    await system.look(0, crash)
    await system.look(1)


async def fetching(system: System, crash: Crash | None) -> None:
    """A table is read."""
    await system.hear(1, FIRST)
    await system.fetch(0, crash)
    await system.fetch(1)


async def retried(system: System, crash: Crash | None) -> None:
    """A repaired letter and those behind it are tried again, of which one fails."""
    await _parked(system)
    await system.retry(0, 0, crash)
    if system.world.letters[0].status != "done":
        await system.retry(1, 0)
    await system.sweep(1)
    assert [kept.status for kept in system.world.letters] == ["done", "done", "parked", "waiting"]


async def dropped(system: System, crash: Crash | None) -> None:
    """A letter is given up, and those behind it are tried."""
    await _parked(system)
    await system.drop(0, 0, crash)
    if system.world.letters[0].status != "dropped":
        await system.drop(1, 0)
    await system.sweep(1)
    assert [kept.status for kept in system.world.letters] == ["dropped", "done", "parked", "waiting"]


async def swept(system: System, crash: Crash | None) -> None:
    """Letters whose predecessor went are taken up by whoever looks."""
    await _parked(system)
    await system.give_up_alone(0)
    await system.sweep(0, crash)
    await system.sweep(1)
    assert [kept.status for kept in system.world.letters] == ["dropped", "done", "parked", "waiting"]


async def _parked(system: System) -> None:
    amounts = (13, 3, 13, 4)
    await system.hear(0, [order(A, n, "S", amount) for n, amount in enumerate(amounts, 1)])
    await system.repair(0)


async def pruned(system: System, crash: Crash | None) -> None:
    """Letters are not so old that they go."""
    await _parked(system)
    await system.give_up_alone(0)
    await system.prune(0, crash)
    await system.prune(1)


async def rebuilt(system: System, crash: Crash | None) -> None:
    """The read tables are made anew."""
    await system.hear(1, FIRST)
    await system.rebuild(0, crash)
    await system.rebuild(1)


async def said(system: System, crash: Crash | None) -> None:
    """New facts, a lane that is to be said again, heads and a letter; batches that overflow and sendings that fail."""
    await system.hear(1, [order(A, 1, "S", 2), order(A, 2, "S", 1)])
    await system.relay(1)
    await system.hear(1, [order(A2, 3, "T", 2), order(A2, 4, "T", 2), outside(B, "bad", 13)])
    system.tape.failures += ["", "unheard", "lost"]
    await system.observer.execute("INSERT INTO said VALUES ('toy.NeverRecorded') ON CONFLICT DO NOTHING")
    await system.relay(0, crash, {LANE: 2})
    await system.relay(1)
    assert {(m.lane, m.sequence) for m in system.tape.said()} == {(LANE, n) for n in range(1, 8)}


async def replayed(system: System, crash: Crash | None) -> None:
    """Everything is to be said again, and the relay that begins with it does not come to its end."""
    await system.hear(1, FIRST)
    await system.observer.execute("UPDATE relay SET replays_asked = 1")
    await system.relay(0, crash)
    await system.relay(1)
    assert await system.observer.fetchval("SELECT replays_done FROM relay") == 1


async def standing_by(system: System, crash: Crash | None) -> None:
    """A relay that does not lead yet. What it does when it leads is another scene."""
    if crash is not None and crash.at > STANDING_STOPS:
        system.stops = STANDING_STOPS + 1
        return
    await system.hear(1, FIRST)
    async with system.led_by_another(seconds=0.2):
        await system.relay(0, crash)
    await system.relay(1)


async def left(system: System, crash: Crash | None) -> None:
    """A relay ends before it has stored how far it came."""
    await system.hear(1, [order(A, n, "S", 2) for n in range(1, 5)])
    await system.relay(0, crash, leaving=True)
    await system.relay(1)
    assert {(m.lane, m.sequence) for m in system.tape.said()} == {(LANE, n) for n in range(1, 9)}


async def finished(system: System, crash: Crash | None) -> None:
    """A relay is told to end before it has said all and stored how far it came."""
    await system.hear(1, [order(A, n, "S", 2) for n in range(1, 5)])
    await system.relay(0, crash, commands=[coins(jar, A, "last")], leaving=True, finishing=True)
    await system.relay(1)
    assert {(m.lane, m.sequence) for m in system.tape.said()} == {(LANE, n) for n in range(1, 10)}


SCENES = (
    messages,
    behind_letters,
    parked_elsewhere,
    first_messages,
    unwritable,
    taken_over,
    old_picture,
    raced,
    only_noted,
    disturbed,
    requests,
    outnumbered,
    looking,
    fetching,
    retried,
    dropped,
    swept,
    pruned,
    rebuilt,
    said,
    replayed,
    standing_by,
    left,
    finished,
)
