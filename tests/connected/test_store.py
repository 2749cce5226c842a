"""The store itself: commit order, snapshots, merge rules in SQL, migrations, and the library's view of our tables."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.eventsourced.cache import StateCache
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.mapper import FactMapper, encode_fact
from shared.eventsourced.migrating import MigrationError, check_tables, migrate
from shared.eventsourced.projecting import Column, Table
from shared.eventsourced.rows import Rows, merge_rows, prepared, write_rows
from shared.eventsourced.store import Store
from shared.eventsourced.writing import Draft, write_batch
from tests.connected.support_engine import Database, Replica, eventually
from tests.engine.test_rows import ALL
from tests.engine.toy import AddCoins, CoinsAdded, jar, toy_service

pytestmark = pytest.mark.connected


def coin(customer: str, version: int) -> Recorded:
    return Recorded(f"jar-{customer}", version, CoinsAdded(customer, f"O-{version}", 1), Meta(1))


async def write(connection: Any, *facts: Recorded, lane: int | None = 3) -> None:
    await write_batch(connection, Draft(facts, [encode_fact(f.fact, f.meta) for f in facts], [lane] * len(facts)))


async def follow(dsn: str, seen: list[str], stop: asyncio.Event) -> None:
    """Read by notification_id and remember the last, as the relay does."""
    connection, cursor = await asyncpg.connect(dsn), 0
    while True:
        last = stop.is_set()
        rows = await connection.fetch(
            "SELECT * FROM events WHERE notification_id > $1 ORDER BY notification_id", cursor
        )
        seen += [row["originator_id"] for row in rows]
        cursor = rows[-1]["notification_id"] if rows else cursor
        if last:
            await connection.close()
            return


async def two_writers_of_whom_the_first_commits_last(dsn: str) -> list[str]:
    """What a follower saw in the end. With the lock the second writer cannot commit before the first."""
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    seen: list[str] = []
    stop = asyncio.Event()
    follower = asyncio.create_task(follow(dsn, seen, stop))
    transaction = first.transaction()
    await transaction.start()
    await write(first, coin("late", 1), lane=None)  # so that they do not meet at the head of a lane

    async def write_second() -> None:
        async with second.transaction():
            await write(second, coin("early", 1), lane=None)

    other = asyncio.create_task(write_second())
    await eventually(lambda: _seen_or_waiting(first, seen))
    await transaction.commit()
    await other
    stop.set()
    await follower
    await first.close()
    await second.close()
    return seen


async def _seen_or_waiting(connection: Any, seen: list[str]) -> bool:
    waiting: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return waiting or "jar-early" in seen


async def test_a_reader_by_notification_id_never_skips_what_commits_late(database: Database) -> None:
    assert await two_writers_of_whom_the_first_commits_last(database.dsn) == ["jar-late", "jar-early"]


async def test_without_the_lock_the_late_commit_would_be_skipped(database: Database) -> None:
    """The same scene shows the damage when the lock is taken away, so the test above can fail."""
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("CREATE OR REPLACE FUNCTION lock_store() RETURNS void LANGUAGE sql AS 'SELECT'")
    await connection.close()
    assert await two_writers_of_whom_the_first_commits_last(database.dsn) == ["jar-early"]


async def test_facts_lie_in_the_order_in_which_they_were_appended(replica: Replica) -> None:
    facts = [coin(c, 1) for c in ("z", "a", "m", "b")] + [coin("a", 2)]
    async with replica.pool.acquire() as connection, connection.transaction():
        await write(connection, *facts)
    assert [row["originator_id"] for row in await replica.events()] == [fact.originator_id for fact in facts]
    assert [row["sequence"] for row in await replica.events()] == [1, 2, 3, 4, 5]


# ---- snapshots


async def grown(replica: Replica, count: int = 400) -> None:
    """A jar whose facts are well over the size from which a snapshot is worth its row."""
    for start in range(0, count, 50):
        await replica.do(*(To(jar, "C", AddCoins("C", f"O-{n}", 1)) for n in range(start, start + 50)))


async def load(replica: Replica, decider: Any = jar) -> Any:
    async with replica.pool.acquire() as connection:
        return (await Store(StateCache(10_000)).load(connection, {"jar-C": decider}))["jar-C"]


async def test_a_long_stream_gets_a_snapshot_and_is_loaded_from_it(replica: Replica) -> None:
    await grown(replica)
    whole = await load(replica)
    version = await replica.pool.fetchval("SELECT originator_version FROM snapshots WHERE originator_id = 'jar-C'")
    assert 0 < version <= 400
    await replica.pool.execute("DELETE FROM events WHERE originator_version <= $1 AND originator_id = 'jar-C'", version)
    assert (await load(replica)).state == whole.state  # the facts before it are not even looked at
    assert whole.version == 400


@pytest.mark.parametrize("damage", ["topic = 'jar#0'", 'state = \'{"total_minor": "x"}\'', "state = '\\x00ff'"])
async def test_a_snapshot_of_another_shape_is_ignored(replica: Replica, damage: str) -> None:
    await grown(replica)
    whole = await load(replica)
    await replica.pool.execute(f"UPDATE snapshots SET {damage}")
    again = await load(replica)
    assert (again.state, again.version) == (whole.state, whole.version)


async def test_a_raised_state_version_ignores_snapshots_of_the_old_one(replica: Replica) -> None:
    await grown(replica)
    await replica.pool.execute("DELETE FROM events WHERE originator_version = 1")
    with pytest.raises(AssertionError):  # it folds from the first fact, which is not there any more
        await load(replica, replace(jar, state_version=2))


# ---- rows, migrations, the library


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1), (None, 2), (1, None), (None, None), (0, None)])
async def test_sql_merges_rows_as_memory_does(replica: Replica, old: int | None, new: int | None) -> None:
    first, second = ("a", *[old] * 5), ("a", *[new] * 5)
    async with replica.pool.acquire() as connection:
        columns = ", ".join(f"{c.name} {c.type}" for c in (*ALL.key, *ALL.columns))
        await connection.execute(f"CREATE TABLE merged ({columns}, PRIMARY KEY (k))")
        for row in (first, second):
            await write_rows(connection, prepared([Rows(ALL, [row], replace=False)]))
        assert [tuple(row) for row in await connection.fetch("TABLE merged")] == merge_rows(ALL, [first, second])
        await write_rows(connection, prepared([Rows(ALL, [second], replace=True)]))
        assert [tuple(row) for row in await connection.fetch("TABLE merged")] == [second]


async def test_migrating_again_applies_nothing_and_a_changed_file_is_refused(
    database: Database, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database.dsn)
    assert await migrate(connection, toy_service().migrations) == []
    (tmp_path / "1001_read_tables.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError):
        await migrate(connection, tmp_path)
    await connection.close()


async def test_a_read_table_that_is_not_as_declared_is_found_at_start(replica: Replica) -> None:
    async with replica.pool.acquire() as connection:
        await check_tables(connection, [p.table for p in replica.service.projections])
        for wrong in (Column("total_minor", "integer"), Column("missing", "bigint")):
            with pytest.raises(MigrationError):
                await check_tables(connection, [Table("jars", (Column("customer_id", "text"),), (wrong,))])
        coin, customer = Column("order_id", "text"), Column("customer_id", "text")
        await check_tables(connection, [Table("coins", (coin,), (customer,))])
        for key, columns in (((customer,), (coin,)), ((coin, customer), ())):
            with pytest.raises(MigrationError, match="no unique index"):
                await check_tables(connection, [Table("coins", key, columns)])


async def test_the_librarys_own_recorder_reads_our_stream_and_our_notifications(
    replica: Replica, database: Database
) -> None:
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    await replica.do(*(To(jar, f"C-{n % 2}", AddCoins(f"C-{n % 2}", f"O-{n}", n)) for n in range(6)))
    ours = await replica.events()

    def read() -> tuple[list[Any], list[Any]]:
        parts = urlsplit(database.dsn)
        datastore = PostgresDatastore(
            dbname=parts.path[1:],
            host=parts.hostname or "",
            port=parts.port or 5432,
            user="postgres",
            password="",
            originator_id_type="text",
        )
        try:
            recorder = PostgresApplicationRecorder(datastore, events_table_name="events")
            return list(recorder.select_events("jar-C-1")), list(recorder.select_notifications(start=1, limit=100))
        finally:
            datastore.close()

    stream, notifications = await asyncio.to_thread(read)
    stored = [(r["originator_id"], r["originator_version"], r["topic"], r["state"]) for r in ours]
    assert [(n.originator_id, n.originator_version, n.topic, bytes(n.state)) for n in notifications] == stored
    assert [n.id for n in notifications] == [r["notification_id"] for r in ours]
    facts = [FactMapper().to_domain_event(event).fact for event in stream]
    assert [fact.order_id for fact in facts] == ["O-1", "O-3", "O-5"]
