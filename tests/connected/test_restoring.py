"""A store that was restored from a backup: it is noticed, nothing is written, and the forgotten places are filled."""

from contextlib import suppress
from typing import Any

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from o2c.restoring import _set_group, reached, said_by
from shared.contracts.catalogue import SPEAKERS
from shared.errors import UnavailableError
from shared.eventsourced.decider import To
from shared.eventsourced.publishing import LANES, lane_of
from shared.eventsourced.resending import Control
from shared.eventsourced.restoring import Said, key_in, mend, origin_problem, overtaken
from shared.frame.own_topic import last_said
from shared.kafka import CONTROL_TOPIC, ensure_topics
from tests.connected.support_engine import (
    SERVICE,
    CreateToyDatabase,
    Database,
    Replica,
    create,
    eventually,
    running,
    send,
)
from tests.engine.records import INBOUND, TOPIC, Record, headers_of, order_record
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


@pytest.mark.parametrize(
    ("last", "said", "expired", "far"),
    [
        (5, {4, 5, 6, 7, 9}, 100, 7),  # beyond the hole stands nothing of the speaker's
        (5, set(), 100, 5),
        (5, {9, 10}, 3, 10),  # 6, 7 and 8 have expired
        (5, {9, 10}, 2, 5),
        (0, {2**40}, 1_000, 0),
    ],
)
def test_a_lane_was_spoken_in_as_far_as_its_topic_shows_without_a_hole_or_over_one_that_has_expired(
    last: int, said: set[int], expired: int, far: int
) -> None:
    assert reached(last, said, expired) == far


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


async def test_a_process_asks_its_own_topic_first_and_writes_nothing_to_a_store_that_has_forgotten_what_stands_there(
    database: Database, toy_databases: CreateToyDatabase, fresh_broker: Any
) -> None:
    servers, service = await fresh_broker(), toy_service(hears={})
    async with running(service, database.settings(servers)) as process:
        await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
        await eventually(lambda: _said(process, 1))
    older = await toy_databases()
    async with running(service, older.settings(servers), ready=False) as process:
        await eventually(lambda: _built(process))  # from then on it takes requests
        with pytest.raises(UnavailableError, match="Kafka has heard more than this store holds, in 1 lanes"):
            await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-2", 1)))
        assert "Kafka has heard more" in await _history(process)
        assert not await process.pool.fetchval("SELECT count(*) FROM events")
    async with running(service, database.settings(servers)) as process:
        assert not await process.missing(), "the store that spoke is well"


async def test_a_process_whose_database_lost_its_last_commits_beneath_it_finds_so_when_it_is_connected_again(
    database: Database, fresh_broker: Any
) -> None:
    async with running(toy_service(hears={}), database.settings(await fresh_broker())) as process:
        for n in range(2):
            await process.commands.execute(To(jar, "C-1", AddCoins("C-1", f"O-{n}", 1)))
        await eventually(lambda: _said(process, 2))
        await process.pool.execute("DELETE FROM events WHERE lane IS NOT NULL AND sequence = 2")
        await process.pool.execute("UPDATE lanes SET head = 1 WHERE head = 2")
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        await process.pool.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert "Kafka has heard more than this store holds" in await eventually(lambda: _history(process))


async def test_a_process_believes_no_state_that_came_of_commits_which_its_database_lost_beneath_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what nobody has heard yet, nobody can tell it."""
    monkeypatch.setattr("shared.eventsourced.store._STARTED_AT", "SELECT clock_timestamp()")  # each another server
    async with running(toy_service(hears={}), database.settings("127.0.0.1:1"), ready=False) as process:
        await eventually(lambda: _built(process))
        for n in range(3):
            await process.commands.execute(To(jar, "C-1", AddCoins("C-1", f"O-{n}", 1)))
        connection = await asyncpg.connect(database.dsn)
        await connection.execute("DELETE FROM events WHERE originator_id = 'jar-C-1' AND originator_version = 3")
        await connection.execute("UPDATE lanes SET head = 2 WHERE head = 3")
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        await connection.close()

        async def again() -> Any:
            with suppress(UnavailableError):  # it has not noticed yet that its connection is gone
                return await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-2", 1)))

        outcome = await eventually(again)
        assert outcome.version == 3
        assert outcome.facts, "what is lost is no repeat"


async def test_who_listens_tells_a_process_that_its_store_has_forgotten_something(
    database: Database, fresh_broker: Any
) -> None:
    servers = await fresh_broker()
    async with running(toy_service(hears={}), database.settings(servers)) as process:
        await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            heard = msgspec.json.encode(Control("heard", SERVICE, lanes={lane_of("C-1"): 2}))

            async def told() -> str:  # with every head that a listener hears of, so more than once
                await producer.send_and_wait(CONTROL_TOPIC, heard)
                return await _history(process)

            assert "others have heard more than this store holds" in await eventually(told)
        with pytest.raises(UnavailableError, match="others have heard more"):
            await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-2", 1)))


async def test_a_process_that_starts_while_kafka_is_away_takes_commands(database: Database) -> None:
    async with running(toy_service(), database.settings("127.0.0.1:1"), ready=False) as process:
        await eventually(lambda: _looked_for_kafka(process))
        await process.commands.execute(To(jar, "C-1", AddCoins("C-1", "O-1", 1)))
        assert not process.ready(await process.missing())


async def test_the_last_records_say_how_far_a_service_has_spoken_until_that_was_reckoned_with(
    fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.frame.own_topic.LAST_RECORDS", 3)
    servers = await fresh_broker()
    assert await last_said(servers, "order", TOPIC) == {}, "there is no such topic"
    await ensure_topics(servers, {TOPIC}, partitions=1, replication=1)
    assert await last_said(servers, "order", TOPIC) == {}
    strangers = Record(headers=headers_of("order-X@1", lane_of("C-1"), 2**40), key=b"of another lane")
    await send(servers, [order_record(7, "C-2"), order_record(5), strangers, order_record(4)])
    assert await last_said(servers, "order", TOPIC) == {lane_of("C-1"): 5}, "the others are too old, and nobody's"
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id="order", enable_auto_commit=False) as consumer:
        await _set_group(consumer, "order")
    assert await last_said(servers, "order", TOPIC) == {}
    await send(servers, [order_record(6)])
    assert await last_said(servers, "order", TOPIC) == {lane_of("C-1"): 6}


async def test_a_mended_service_hears_inbound_topics_from_their_beginning_and_nothing_that_services_had_said(
    fresh_broker: Any,
) -> None:
    servers, heard = await fresh_broker(), SPEAKERS[SERVICE].topic
    ends = {TOPIC: 3, heard: 2, INBOUND: 1}  # the order service's own topic, one that it hears, and one from outside
    await ensure_topics(servers, ends.keys(), partitions=1, replication=1)
    await send(servers, [Record(topic=topic) for topic, count in ends.items() for _ in range(count)])
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id="order", enable_auto_commit=False) as consumer:
        assert await _set_group(consumer, "order") == (INBOUND,)
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id="order", enable_auto_commit=False) as consumer:
        committed = {topic: await consumer.committed(TopicPartition(topic, 0)) for topic in ends}
    assert committed == {**ends, INBOUND: 0}


async def test_what_was_said_and_cannot_be_read_ends_the_mending_with_a_word(
    fresh_broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, topic = await fresh_broker(), SPEAKERS[SERVICE].topic
    await ensure_topics(servers, {topic}, partitions=2, replication=1)
    async with AIOKafkaProducer(bootstrap_servers=servers, compression_type="zstd") as producer:
        await producer.send_and_wait(topic, b"{}", b"C-1", partition=1)
    async with AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False) as consumer:
        assert await said_by(consumer, SERVICE) == ({}, 0), "it is no message of the service's, and can be read"
        monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)
        with pytest.raises(UnavailableError, match=f"Kafka holds records of {SERVICE} that cannot be read"):
            await said_by(consumer, SERVICE)


async def _history(process: Any) -> str:
    return str((await process.missing()).get("history", "")) if hasattr(process, "commands") else ""


async def _built(process: Any) -> bool:
    return hasattr(process, "commands")


async def _looked_for_kafka(process: Any) -> bool:
    return hasattr(process, "commands") and "bootstrap" in (await process.missing()).get("kafka", "")


async def _said(process: Any, count: int) -> bool:
    return bool(process.relay.sent == count)


async def _heads_after_three(replica: Replica) -> dict[int, int]:
    for n in range(3):
        await replica.do(To(jar, f"C-{n}", AddCoins(f"C-{n}", f"O-{n}", 1)))
    return dict(await replica.pool.fetch("SELECT lane, head FROM lanes WHERE head > 0 ORDER BY lane"))
