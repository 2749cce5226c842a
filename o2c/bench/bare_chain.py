"""The bare chain: five processes that only consume, append durably and produce; what this machine could do at most.

Every stage takes a batch from its topic, appends one event per message with one INSERT in one durable transaction,
produces the batch to the next topic, and commits its offsets. There is no domain, no deduplication and no read table.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from o2c.bench.orders import generate
from o2c.outside.envelope import Outgoing, envelope
from o2c.outside.kafka import Publisher
from shared.contracts.inbound import Order
from shared.errors import UnavailableError
from shared.eventsourced.publishing import lane_of
from shared.kafka import ensure_topics

STAGES = 5
RECORDS_MAX = 1_000
PUBLISHED_AT_ONCE = 2_000
DATABASE = "o2c_bare_chain"
START_SECONDS_MAX = 30.0
RUN_SECONDS_MAX = 300.0

_TABLE = """
CREATE TABLE IF NOT EXISTS events_{stage} (
    originator_id text COLLATE "C" NOT NULL, originator_version bigint NOT NULL, topic text NOT NULL,
    state bytea NOT NULL, notification_id bigserial NOT NULL, PRIMARY KEY (originator_id, originator_version)
)
"""
_INSERT = """
INSERT INTO events_{stage} (originator_id, originator_version, topic, state)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[])
"""


def topics(run: str) -> list[str]:
    """The topics between the stages of one run; the last one is heard by nobody."""
    return [f"o2c.bare-chain.{run}.{stage}" for stage in range(STAGES + 1)]


class BareChain:
    """One run of the chain over a running PostgreSQL server and broker."""

    def __init__(self, database_url: str, servers: str, *, partitions: int) -> None:
        parts = urlsplit(database_url)
        self._database_url = urlunsplit(parts._replace(path=f"/{DATABASE}"))
        self._server_url = urlunsplit(parts._replace(path="/postgres"))
        self._servers, self._partitions = servers, partitions

    async def run(self, run: str, messages: int, *, seed: int) -> float:
        """Seconds from the first message produced until the last event of the last stage is durable.

        `run` names its topics and streams. UnavailableError if a stage fails or takes too long.
        """
        await self._prepare(run)
        records = [self._record(run, order) for order in generate(messages, seed=seed)]
        stages = [await self._spawn(run, stage, messages) for stage in range(STAGES)]
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                for stage in stages:
                    await _line(stage)
            async with asyncio.timeout(RUN_SECONDS_MAX), Publisher(self._servers) as publisher:
                started = time.monotonic()
                for first in range(0, messages, PUBLISHED_AT_ONCE):
                    await publisher.publish(records[first : first + PUBLISHED_AT_ONCE])
                ended = [float((await _line(stage))["ended"]) for stage in stages]
        except TimeoutError:
            raise UnavailableError("the bare chain did not finish in time") from None
        finally:
            for stage in stages:
                if stage.returncode is None:
                    stage.kill()
                await stage.wait()
        return max(ended) - started

    async def forget(self, run: str) -> None:
        """Leave nothing behind that what is measured next would have to do with: no topics of this run, no tables.

        UnavailableError if the broker keeps a topic.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=10_000)
        await admin.start()
        try:
            response = await admin.delete_topics(topics(run))
        finally:
            await admin.close()
        if any(code for _, code in response.topic_error_codes):
            raise UnavailableError(f"the bare chain's topics stay, with what they hold: {response}")
        server = await asyncpg.connect(self._server_url)
        try:
            await server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        finally:
            await server.close()

    async def _prepare(self, run: str) -> None:
        server = await asyncpg.connect(self._server_url)
        try:
            if not await server.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
                await server.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await server.close()
        database = await asyncpg.connect(self._database_url)
        try:
            for stage in range(STAGES):
                await database.execute(_TABLE.format(stage=stage))
        finally:
            await database.close()
        await ensure_topics(self._servers, topics(run), partitions=self._partitions, replication=1)

    @staticmethod
    def _record(run: str, order: Order) -> Outgoing:
        record = envelope(order, datetime.now(UTC))
        key = f"{run}/{order.order_id}"
        return Outgoing(topics(run)[0], lane_of(key), key.encode(), record.value, record.headers)

    async def _spawn(self, run: str, stage: int, messages: int) -> asyncio.subprocess.Process:
        arguments = (self._database_url, self._servers, run, str(stage), str(messages))
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "o2c.bench.bare_chain", *arguments, stdout=asyncio.subprocess.PIPE
        )


async def _line(stage: asyncio.subprocess.Process) -> dict[str, Any]:
    assert stage.stdout is not None
    line = await stage.stdout.readline()
    if not line:
        raise UnavailableError("a stage of the bare chain failed; its error is above")
    said: dict[str, Any] = json.loads(line)
    return said


def _say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


async def _stage(database_url: str, servers: str, run: str, stage: int, messages: int) -> None:
    source, target = topics(run)[stage : stage + 2]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=f"bare-chain-{run}-{stage}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        fetch_min_bytes=1,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    database = await asyncpg.connect(database_url)
    async with Publisher(servers) as publisher:
        partitions = await publisher.partitions(source)
        await publisher.partitions(target)
        await consumer.start()
        consumer.assign([TopicPartition(source, n) for n in range(partitions)])
        _say(ready=stage)
        try:
            await _work(consumer, database, publisher, stage, target, messages)
            _say(ended=time.monotonic())
        finally:
            await consumer.stop()
            await database.close()


async def _work(
    consumer: AIOKafkaConsumer, database: Any, publisher: Publisher, stage: int, target: str, messages: int
) -> None:
    insert, done = _INSERT.format(stage=stage), 0
    while done < messages:
        found = await consumer.getmany(timeout_ms=10, max_records=RECORDS_MAX)
        records = [record for part in found.values() for record in part]
        if not records:
            continue
        keys = [record.key.decode() for record in records]
        columns = (keys, [1] * len(keys), [record.topic for record in records], [record.value for record in records])
        await database.execute(insert, *columns)
        forward = zip(keys, records, strict=True)
        await publisher.publish([Outgoing(target, lane_of(k), r.key, r.value, list(r.headers)) for k, r in forward])
        await consumer.commit()
        done += len(records)


if __name__ == "__main__":
    url, address, name, number, expected = sys.argv[1:]
    uvloop.run(_stage(url, address, name, int(number), int(expected)))
