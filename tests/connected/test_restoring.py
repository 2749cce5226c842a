"""A store that was restored from a backup: it is noticed, nothing is written, and the forgotten places are filled."""

from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from o2c.restoring import said_by
from shared.contracts.catalogue import SPEAKERS
from shared.errors import UnavailableError
from shared.eventsourced.decider import To
from shared.eventsourced.publishing import LANES, lane_of
from shared.eventsourced.restoring import Said, key_in, mend, origin_problem, overtaken
from shared.kafka import ensure_topics
from tests.connected.support_engine import SERVICE, Database, Replica, create, eventually, running
from tests.engine.toy import AddCoins, jar, toy_service
from tests.support.databases import drop_database

pytestmark = pytest.mark.connected


async def test_a_store_is_at_home_where_it_was_first_asked_and_a_copy_of_it_is_not(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    assert await origin_problem(connection, SERVICE) == ""
    assert await origin_problem(connection, SERVICE) == ""
    await connection.close()
    copy = f"{database.prefix}copy"
    await create(database.server, copy, f"{database.prefix}{SERVICE}")
    try:
        connection = await asyncpg.connect(f"{database.server}/{copy}")
        assert "o2c restored credit" in await origin_problem(connection, SERVICE)
        async with connection.transaction():
            assert await mend(connection, {}, {}, 0) == {}
        assert await origin_problem(connection, SERVICE) == "", "mended, it is at home here"
        await connection.close()
    finally:
        await drop_database(f"{database.server}/{copy}")


async def test_who_has_heard_no_more_than_was_said_is_no_reason_to_worry(replica: Replica) -> None:
    heads = await _heads_after_three(replica)
    async with replica.pool.acquire() as connection:
        await origin_problem(connection, SERVICE)
        assert await overtaken(connection, SERVICE, heads) == ""
        assert await overtaken(connection, SERVICE, {99: 2**61}) == "", "there is no such lane"


async def test_a_store_that_others_have_heard_more_of_is_remembered_as_restored(replica: Replica) -> None:
    heads = await _heads_after_three(replica)
    lane, head = next(iter(heads.items()))
    async with replica.pool.acquire() as connection:
        await origin_problem(connection, SERVICE)
        problem = await overtaken(connection, SERVICE, {lane: head + 1})
        assert f"lane {lane}: heard {head + 1}, stored {head}" in problem
        assert await origin_problem(connection, SERVICE) == problem, "also at the next start"


async def test_mending_fills_the_forgotten_places_once_and_skips_the_numbers_that_were_used(replica: Replica) -> None:
    heads = await _heads_after_three(replica)
    lane, head = next(iter(heads.items()))
    known = {(lane, head + 2): Said("jar-C-9@4", "o2c.credit.Any.v1", "INV-2026-000007")}
    await replica.pool.execute("INSERT INTO number_series VALUES ('INV-2026', 5)")
    for expected in ({lane: 3}, {}):
        async with replica.pool.acquire() as connection, connection.transaction():
            assert await mend(connection, {lane: head + 3}, known, 0) == expected
    rows = [row for row in await replica.events() if row["topic"] == "engine.Lost"]
    assert [(row["lane"], row["sequence"]) for row in rows] == [(lane, head + n) for n in (1, 2, 3)]
    assert [row["originator_version"] for row in rows] == [1, 2, 3]
    assert await replica.pool.fetchval("SELECT last FROM number_series") == 7
    await replica.do(To(jar, "C-1", AddCoins("C-1", "O-9", 1)))
    again = [row["sequence"] for row in await replica.events() if row["lane"] == lane_of("C-1")]
    assert again[-1] == (head + 4 if lane == lane_of("C-1") else heads[lane_of("C-1")] + 1)


def test_every_lane_has_a_key_for_what_is_about_nobody() -> None:
    assert all(lane_of(key_in(lane).decode()) == lane for lane in range(LANES))


async def test_a_process_on_a_copied_store_says_so_and_writes_nothing(
    database: Database, fresh_broker: Any, replica: Replica
) -> None:
    async with replica.pool.acquire() as connection:
        await origin_problem(connection, SERVICE)
    await replica.pool.execute("UPDATE origin SET cluster = 'another'")
    settings = database.settings(await fresh_broker())
    async with running(toy_service(), settings, ready=False) as process:
        missing = await eventually(lambda: _history(process))
        assert "is a copy or was restored" in missing
        with pytest.raises(
            UnavailableError, match=r"^this database is a copy or was restored .* `o2c restored credit`"
        ):
            await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
        assert await replica.events() == []


async def test_what_was_said_and_cannot_be_read_ends_the_mending_with_a_word(
    fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, topic = await fresh_broker(), SPEAKERS[SERVICE].topic
    await ensure_topics(servers, {topic}, partitions=2, replication=1)
    async with AIOKafkaProducer(bootstrap_servers=servers, compression_type="zstd") as producer:
        await producer.send_and_wait(topic, b"{}", b"C-1", partition=1)
    async with AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False) as consumer:
        cluster = await consumer._client.fetch_all_metadata()
        assert await said_by(consumer, cluster, SERVICE) == {}, "it is no message of the service's, and can be read"
        monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)
        with pytest.raises(UnavailableError, match=f"Kafka holds records of {SERVICE} that cannot be read"):
            await said_by(consumer, cluster, SERVICE)


async def _history(process: Any) -> str:
    return str((await process.missing()).get("history", "")) if hasattr(process, "commands") else ""


async def _heads_after_three(replica: Replica) -> dict[int, int]:
    for n in range(3):
        await replica.do(To(jar, f"C-{n}", AddCoins(f"C-{n}", f"O-{n}", 1)))
    return dict(await replica.pool.fetch("SELECT lane, head FROM lanes WHERE head > 0 ORDER BY lane"))
