"""A crash at every `await` of the engine: fixed scenes are played again and again, struck one stop later each time.

After each crash the store must be what the model says, and the scene, played once more, must end as it should.
"""

import os
import pkgutil
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

import pytest
import pytest_asyncio

from shared import eventsourced
from tests.connected.support_engine import Database
from tests.engine.stateful import scenes, scenes_kafka
from tests.engine.stateful.linked import Linked
from tests.engine.stateful.stepping import AwaitPoint, Crash, all_awaits
from tests.engine.stateful.system import impatient, quicken

pytestmark = pytest.mark.connected

Scene = Callable[[Linked, Crash | None], Coroutine[Any, Any, None]]

SCENES: tuple[Scene, ...] = (*scenes.SCENES, *scenes_kafka.SCENES)

ENGINE = [
    import_module(f"{eventsourced.__name__}.{module.name}")
    for module in pkgutil.iter_modules(eventsourced.__path__)
    if module.name != "migrating"
]
"""All of it: a module that is new must be tried, too. Only migrations are made before the engine runs: no scene has a
store without them; tests/connected/test_store.py shows that they are made once."""

NOT_OURS = ("connect_pool", "count_open")
"""Before the engine runs, and what only reads for people."""

STOPS_MAX = 500
"""More than any scene has."""

THOROUGH = bool(os.environ.get("O2C_STATEFUL_EXAMPLES"))
EVERY = 1 if THOROUGH else 32
"""Being killed is tried at every stop, the other crashes at every so many only unless more is asked for."""


async def walk(
    dsn: str, scene: Scene, kind: str, *, late: bool = False, numbered: bool = False, first: int = 0, every: int = 1
) -> set[AwaitPoint]:
    """Play a scene, struck at its `first` stop and then at each `every`-th, until it ends before. Returns where it was
    struck: somewhere it is. Where a scene has no stop `first`, its stops are counted round until that is one of them.
    """
    at, strikes = first, 0
    async with Linked(dsn, numbered, crash_first=True) as system:
        while at < STOPS_MAX:
            await _play(system, scene, Crash(at, kind, late))
            if system.struck:
                at, strikes = at + every, strikes + 1
            elif strikes:
                return system.points
            else:
                assert system.stops, f"nothing of {scene.__name__} can be struck"
                at %= system.stops
    raise AssertionError(f"{scene.__name__} does not end")


async def _play(system: Linked, scene: Scene, crash: Crash) -> None:
    await system.begin()
    try:
        await scene(system, crash)
    except BaseException as error:
        error.add_note(f"scene {scene.__name__}, {crash}, numbered={system.numbered}")
        raise


@pytest_asyncio.fixture
async def dsn(database: Database) -> str:
    """A database of the toy that does not wait for the disk."""
    await quicken(database.dsn)
    return database.dsn


async def test_a_process_killed_at_any_await_leaves_nothing_half_done(dsn: str) -> None:
    struck: set[AwaitPoint] = set()
    async with impatient():
        for scene in SCENES:
            struck |= await walk(dsn, scene, "kill")
        for scene in (scenes.messages, scenes.raced, scenes.outnumbered, scenes_kafka.mended):
            struck |= await walk(dsn, scene, "kill", numbered=True)
    everywhere = {point for module in ENGINE for point in all_awaits(module, but_in=NOT_OURS)}
    assert not sorted(everywhere - struck), f"no scene is struck at {sorted(everywhere - struck)}"


@pytest.mark.parametrize(
    ("kind", "late"),
    [("kill", True), ("cancel", False), ("cancel", True), ("cut", False), ("cut", True), ("end", False), ("end", True)],
)
async def test_other_crashes_are_survived_as_well(dsn: str, kind: str, *, late: bool) -> None:
    async with impatient():
        for number, scene in enumerate(SCENES):
            for numbered in (False, True) if THOROUGH else (number % 2 == 0,):
                first = (number + (7 if late else 0)) % EVERY
                await walk(dsn, scene, kind, late=late, numbered=numbered, first=first, every=EVERY)
        # At all of its few stops: as long as a relay that ends does not let go, nobody else can lead.
        await walk(dsn, scenes.left, kind, late=late)
