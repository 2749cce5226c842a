"""Concurrent writers and readers of several processes on one store leave only linearizable histories per stream.

Played once more with the check of versions taken out, the very same assertion fails.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import asyncpg
import pytest

from shared.errors import ConflictError, UnavailableError
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.store import Store
from tests.connected.support_engine import Database, OpenReplica, Replica
from tests.engine.stateful.linearizability import Operation, broken_streams
from tests.engine.stateful.system import impatient, quicken
from tests.engine.toy import ReceiptWritten, WriteReceipt, toy_service

pytestmark = pytest.mark.connected

STREAMS = ("A", "B")
CLIENTS = 6
OPERATIONS = 12
"""Of each client."""
ATTEMPTS_MAX = 20
ROUNDS = 30
"""As many chances has an engine to show that it is broken, and one that is right must come through all of them."""

diary: Decider[Any, Any, Any] = Decider(
    "diary",
    (),
    lambda state, command: [ReceiptWritten(command.customer_id, command.reason)],
    lambda state, fact: (*state, fact.reason),
    (ReceiptWritten,),
)
"""A stream whose state is its content."""


@dataclass
class History:
    """What was asked and heard, and the errors that answered nothing."""

    operations: list[Operation] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


class Client:
    """Appends and reads at random, and notes what it asked, what it heard, and when."""

    def __init__(self, name: str, replicas: Sequence[Replica], history: "History", seed: int) -> None:
        self._name, self._replicas = name, replicas
        self._history, self._errors = history.operations, history.errors
        self._random = random.Random(f"{name} {seed}")
        self._seen = dict.fromkeys(STREAMS, 0)

    async def run(self) -> None:
        """One operation after the other, each at any process."""
        for number in range(OPERATIONS):
            stream, replica = self._random.choice(STREAMS), self._random.choice(self._replicas)
            if self._random.random() < 0.4:
                await self.read(replica, stream)
            else:
                await self._append(replica, stream, f"{self._name}{number}")

    async def _append(self, replica: Replica, stream: str, value: str) -> None:
        expected = self._seen[stream] if self._random.random() < 0.5 else None
        began, answer, ended = time.monotonic(), None, inf
        try:
            outcome = await replica.queue.execute(To(diary, stream, WriteReceipt(stream, value), expected))
            answer, ended = outcome.version, time.monotonic()
            self._seen[stream] = outcome.version
        except ConflictError:
            ended = time.monotonic()
        except Exception as error:  # nobody knows what became of it
            self._errors.append(error)
        self._history.append(Operation(stream, began, ended, value, expected, answer))

    async def read(self, replica: Replica, stream: str) -> bool:
        """See a stream as it is now."""
        began = time.monotonic()
        try:
            content, version = await replica.queue.state(diary, stream)
        except Exception as error:
            self._errors.append(error)
            return False
        self._seen[stream] = version
        self._history.append(Operation(stream, began, time.monotonic(), answer=content))
        return True


async def _disturb(connection: Any) -> None:
    """Break everybody's connections now and then, so that some never hear an answer."""
    while True:
        await asyncio.sleep(0.03)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def lived(database: Database, replicas: Sequence[Replica], *, disturbed: bool, seed: int = 0) -> History:
    """The history of some clients at once, from an empty store on."""
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("DELETE FROM events; UPDATE lanes SET head = 0")
    for replica in replicas:
        replica.store.cache._entries.clear()
    tasks = [asyncio.create_task(replica.queue.run()) for replica in replicas]
    disturbing = [asyncio.create_task(_disturb(connection))] if disturbed else []
    history = History()
    await asyncio.gather(*(Client(chr(97 + n), replicas, history, seed).run() for n in range(CLIENTS)))
    for task in (*tasks, *disturbing):
        task.cancel()
    await asyncio.gather(*tasks, *disturbing, return_exceptions=True)
    reader = Client("last", replicas, history, seed)
    for stream in STREAMS:
        for _ in range(ATTEMPTS_MAX):  # a pool may hold that many broken connections
            if await reader.read(replicas[0], stream):
                break
    await connection.close()
    return history


@pytest.fixture
async def replicas(database: Database, open_replica: OpenReplica) -> AsyncIterator[list[Replica]]:
    """Three processes with caches of their own."""
    await quicken(database.dsn)
    async with impatient():
        yield [await open_replica(toy_service(deciders=(diary,), projections=())) for _ in range(3)]


@pytest.mark.parametrize("disturbed", [False, True])
async def test_appends_and_reads_are_linearizable(
    database: Database, replicas: list[Replica], *, disturbed: bool
) -> None:
    errors: list[Exception] = []
    for seed in range(ROUNDS):
        history = await lived(database, replicas, disturbed=disturbed, seed=seed)
        assert broken_streams(history.operations) == [], f"in round {seed}"
        errors += history.errors
    assert [error for error in errors if not isinstance(error, UnavailableError)] == []
    conflicts = sum(replica.work.conflicts for replica in replicas)
    assert errors if disturbed else conflicts, "nobody was in anybody's way"


# ---- with a guard taken out


async def _no_version_check(database: Database, patch: pytest.MonkeyPatch) -> None:
    """The store takes two facts of one version."""
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    await connection.close()


async def _believed_cache(database: Database, patch: pytest.MonkeyPatch) -> None:
    """What is in the cache is not brought forward."""
    load = Store.load

    async def believing(self: Store, connection: Any, wanted: Any) -> Any:
        known = {stream: entry for stream in wanted if (entry := self.cache._entries.get(stream)) is not None}
        unknown = {stream: decider for stream, decider in wanted.items() if stream not in known}
        return {**known, **(await load(self, connection, unknown) if unknown else {})}

    patch.setattr(Store, "load", believing)


async def _no_lock(database: Database, patch: pytest.MonkeyPatch) -> None:
    """Neither the store's lock is taken nor is a version refused."""
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("CREATE OR REPLACE FUNCTION lock_store() RETURNS void LANGUAGE sql AS 'SELECT'")
    await connection.close()
    await _no_version_check(database, patch)


@pytest.mark.parametrize("break_guard", [_no_version_check, _believed_cache, _no_lock])
async def test_without_the_guard_the_history_shows_it(
    database: Database, replicas: list[Replica], monkeypatch: pytest.MonkeyPatch, break_guard: Callable[..., Any]
) -> None:
    await break_guard(database, monkeypatch)
    for seed in range(ROUNDS):
        history = await lived(database, replicas, disturbed=False, seed=seed)
        if broken_streams(history.operations):
            return
    pytest.fail("the checker finds nothing although the guard is broken")
