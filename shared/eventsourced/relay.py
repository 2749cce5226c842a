"""From the store to Kafka: public facts in commit order, each under its key, lane by lane without a hole.

One relay per service leads (a session lock in its database); two at once for a moment do no harm, since both say the
same messages with the same ids and sequences. The cursor moves only after Kafka has acknowledged, and is stored now
and then. The lock has a lease: the server ends the session of a leader that asks nothing of it for LEASE_SECONDS (a
process that is frozen, a host that is gone), and with its session a leader that comes back has lost the cursor, too.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from eventsourcing.utils import TopicError

from shared.errors import O2CError, in_words
from shared.eventsourced.facts import Recorded, stored_name
from shared.eventsourced.faults import Backoff, passes
from shared.eventsourced.fresh import Appended, Fresh, Placed
from shared.eventsourced.mapper import decode_fact
from shared.eventsourced.publishing import LANES, SEQUENCE_MAX, Publishing, source_of
from shared.eventsourced.restoring import Lost, key_in
from shared.eventsourced.store import COMMAND_SECONDS_MAX, LIMITS
from shared.kafka import CONTROL_TOPIC, close_quietly, dead_letter_topic, new_producer
from shared.telemetry.engine import Lap, SayingFigures

log = structlog.get_logger()

LEASE_SECONDS = 25
SEND_SECONDS_MAX = 20
"""Shorter than the lease, since the relay asks nothing of the database while it sends."""
GATHER_SECONDS, ENOUGH = 0.015, 100
"""Fewer messages than ENOUGH are followed by others no sooner than this: each sending is a request to the broker."""
CURSOR_SECONDS = 0.25
"""The cursor is stored so often, at most: who leads after a crash says again what was said since."""
LEAVE_SECONDS_MAX = 1.0
LETTERS_MAX = 50
LETTER_BYTES_MAX, LETTER_TEXT_MAX = 200_000, 4_000
"""How much of a dead letter's key and body, and of its texts, is told to the world: the table has it whole."""
READ_BYTES_MAX = 4_000_000
"""How much of the store one query reads, or one fact that is larger: decoded and encoded, it takes five times that."""
ASKED_SECONDS_MAX = 15.0
"""What was asked, and not answered for so long, was of another leader: who still misses it asks again sooner."""
SEARCH_IDS = 50_000
"""How many notification ids one query looks through, from the newest back, to find where to speak again from."""

_PUBLIC_FACTS = """
SELECT originator_id, originator_version, topic, state, lane, sequence, notification_id FROM (
    SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id ROWS UNBOUNDED PRECEDING) AS bytes FROM events
    WHERE notification_id > $1 AND notification_id <= $2 AND lane = ANY($3::smallint[])) AS facts
WHERE bytes - octet_length(state) < $4 ORDER BY notification_id
"""

_LETTERS = f"""
SELECT id, code, topic, left(message_id, {LETTER_TEXT_MAX}) AS message_id, left(type, {LETTER_TEXT_MAX}) AS type,
       left(reason, {LETTER_TEXT_MAX}) AS reason, substring(body FOR {LETTER_BYTES_MAX}) AS body,
       coalesce(substring(key FOR {LETTER_BYTES_MAX}), '') AS key
FROM dead_letters WHERE id > $1 ORDER BY id LIMIT {LETTERS_MAX}
"""

_WAS_SAID = "SELECT EXISTS (SELECT FROM events WHERE topic = $1 AND lane IS NOT NULL)"

_encode = msgspec.json.Encoder().encode


class UnsaidError(O2CError):
    """A fact that was public has no message any more; the text says what to do."""

    code = "unsaid"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(names)}: recorded as public, but this release does not say it. Keep it in SAYS of "
            "publishing.py even if it is recorded no more (what was said can be asked for again), "
            "or run the release that says it"
        )


class Outgoing(msgspec.Struct, gc=False):
    """One message as it goes to Kafka."""

    lane: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Relay:
    """Publishes one service's public facts, for as long as the process lives."""

    def __init__(
        self,
        service: str,
        says: Publishing,
        dsn: str,
        servers: str,
        ensure_topics: Callable[[], Any],
        *,
        records_max: int,
        poll_ms: int,
        heads_seconds: float,
        on_said: Callable[[str, Sequence[Placed], float], None] | None = None,
    ) -> None:
        """`on_said`: told of every new batch that Kafka has, with topic and seconds; must not raise."""
        self._on_said = on_said
        self.figures = SayingFigures()
        self._service, self._says, self._dsn, self._servers = service, says, dsn, servers
        self._ensure_topics = ensure_topics
        self._records_max, self._poll_seconds, self._heads_seconds = records_max, poll_ms / 1000, heads_seconds
        self._topic = next(iter(says.values())).contract.topic if says else ""
        self._source = source_of(service)
        self._forms = {
            fact: (each.of, each.contract.name.encode(), each.contract.key, each.contract.subject)
            for fact, each in says.items()
        }
        self._lost = f"o2c.{service}.Lost.v1".encode()
        self._wake = asyncio.Event()
        self._fresh = Fresh()
        self._again: dict[int, int] = {}
        self._again_cursor = 0
        self._asked: dict[int, int] = {}
        self._asked_at = -math.inf
        self._replay = 0
        self._look = False
        self._read_at = -math.inf
        self.leads = self._finishing = False
        self.cursor = self._stored = self._head = self.sent = self.sent_again = 0
        self.fault: str | None = None

    def committed(self, appended: Appended) -> None:
        """There are new facts, committed by this process."""
        if self.leads:
            self._fresh.put(appended)
            self._head = max(self._head, appended.upto)
            self._wake.set()

    @property
    def backlog(self) -> int:
        """Facts that this process knows of and has not passed yet."""
        return max(self._head - self.cursor, 0)

    def say_again(self, lanes: Mapping[int, int]) -> None:
        """Say every message of these lanes again, from these sequences on. Listeners drop what they know."""
        self._asked_at = time.monotonic()
        for lane, sequence in lanes.items():
            self._asked[lane] = min(sequence, self._asked.get(lane, sequence))
        self._wake.set()

    def look(self) -> None:
        """Somebody has asked, in the store, for everything to be said again."""
        self._look = True
        self._wake.set()

    def finish(self) -> None:
        """Nothing more is committed here: who leads says what is left and ends. Else `run` is to be cancelled."""
        self._finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Lead when nobody else does, publish, and start over after faults; ends by cancellation, or see `finish`."""
        backoff = Backoff()
        while True:
            producer = new_producer(self._servers)
            connection = None
            try:
                lease = {**LIMITS, "idle_session_timeout": f"{LEASE_SECONDS}s"}
                connection = await asyncpg.connect(
                    self._dsn, timeout=5, command_timeout=COMMAND_SECONDS_MAX, server_settings=lease
                )
                self.fault = None  # a replica that only stands by is well
                while not await connection.fetchval("SELECT pg_try_advisory_lock(7201927)"):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
                await self._ensure_topics()
                await producer.start()
                self.leads, self.fault = True, None
                backoff.reset()
                await self._lead(connection, producer)
                await self._leave(connection)
                return
            except asyncio.CancelledError:
                await self._leave(connection)
                raise
            except Exception as error:
                self.fault = in_words(error)
                log.warning("relay starts over", fault=self.fault, passes=passes(error))
                await backoff.wait()
            finally:
                self.leads = False
                try:
                    await close_quietly(producer)
                finally:  # also when it is cancelled once more: as long as the lock is held, nobody else can lead
                    if connection is not None:
                        connection.terminate()

    async def _lead(self, connection: Any, producer: AIOKafkaProducer) -> None:
        """Say what is committed, again and again, until all is said that there will be."""
        await self._check_said(connection)
        self._fresh.clear()
        self._replay = 0
        if time.monotonic() - self._asked_at > ASKED_SECONDS_MAX:
            self._asked, self._again = {}, {}
        self.cursor, letters = await connection.fetchrow("SELECT cursor, letters FROM relay")
        self._stored = self.cursor
        heads_at = stored_at = 0.0
        while True:
            self._wake.clear()
            began, before = time.monotonic(), self.sent
            forward = await self._forward(connection, producer)
            few = self.sent - before < ENOUGH
            if self._finishing and not forward:
                return
            backward = await self._backward(connection, producer)
            now = time.monotonic()
            if self._stored < self.cursor and now - stored_at >= CURSOR_SECONDS:
                stored_at = now
                await self._store_cursor(connection, self.cursor)
            if self._look or now - heads_at >= self._heads_seconds:
                heads_at, self._look = now, False
                await self._take_replay(connection)
                await self._say_heads(connection, producer)
                letters = await self._say_letters(connection, producer, letters)
            if backward:
                continue
            if forward and few:
                await asyncio.sleep(began + GATHER_SECONDS - now)
            elif not forward:
                patience = self._poll_seconds if self._stored == self.cursor else CURSOR_SECONDS
                with suppress(TimeoutError):
                    # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with what it awaits.
                    async with asyncio.timeout(min(patience, self._poll_seconds)):
                        await self._wake.wait()

    async def _leave(self, connection: Any) -> None:
        """Let who leads next begin where this process ends."""
        if self.leads and self._stored < self.cursor:
            with suppress(Exception):
                async with asyncio.timeout(LEAVE_SECONDS_MAX):
                    await self._store_cursor(connection, self.cursor)

    async def _check_said(self, connection: Any) -> None:
        """UnsaidError when a message was taken out of SAYS although facts that became this message are in the store."""
        names = [stored_name(fact) for fact in self._says]
        await connection.execute("INSERT INTO said SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", names)
        gone = [name for (name,) in await connection.fetch("SELECT topic FROM said WHERE topic <> ALL ($1)", names)]
        unsaid = [name for name in gone if await connection.fetchval(_WAS_SAID, name)]
        if unsaid:
            raise UnsaidError(unsaid)
        if gone:  # declared once, and never recorded
            await connection.execute("DELETE FROM said WHERE topic = ANY ($1)", gone)

    async def _forward(self, connection: Any, producer: AIOKafkaProducer) -> bool:
        """The next batch after the cursor: as it was handed over, or read from the store."""
        fresh = self._fresh.take(self.cursor, self._records_max)
        if fresh is None and not self.backlog and time.monotonic() - self._read_at < self._poll_seconds:
            return False  # only other replicas may have written, and those are asked about often enough
        upto, public = fresh or await self._read(connection)
        if upto <= self.cursor:
            return False
        messages = [self._message(placed) for placed in public]
        watch = Lap()
        await self._send(producer, self._topic, messages)
        seconds = watch.total()
        self.sent += len(messages)
        self.cursor = upto
        if messages:
            self.figures.messages.add(len(messages))
            self.figures.seconds.add(seconds)
            if self._on_said is not None:
                self._on_said(self._topic, public, seconds)
        return True

    async def _store_cursor(self, connection: Any, upto: int) -> None:
        """Whoever leads after a crash begins there."""
        # Losing this little update only means that some is said twice, so it need not wait for the disk.
        await connection.execute(
            f"BEGIN; SET LOCAL synchronous_commit = off; UPDATE relay SET cursor = greatest(cursor, {upto:d}); COMMIT"
        )
        self._stored = upto

    async def _read(self, connection: Any) -> tuple[int, list[Placed]]:
        """The facts behind the cursor. Every id up to the greatest one that will ever be visible is visible now."""
        self._read_at = time.monotonic()
        head = self._head = await connection.fetchval("SELECT coalesce(max(notification_id), 0) FROM events")
        upto = min(head, self.cursor + self._records_max)
        if upto <= self.cursor:
            return self.cursor, []
        upto, public = await self._facts(connection, self.cursor, upto, range(LANES))
        self._fresh.forget(upto)
        return upto, public

    async def _facts(self, connection: Any, after: int, upto: int, lanes: Iterable[int]) -> tuple[int, list[Placed]]:
        """The public facts of these lanes behind `after`, up to `upto` or as far as one query reads; and how far."""
        rows = await connection.fetch(_PUBLIC_FACTS, after, upto, list(lanes), READ_BYTES_MAX)
        if sum(len(row["state"]) for row in rows) >= READ_BYTES_MAX:
            upto = rows[-1]["notification_id"]
        return upto, [_placed(row) for row in rows]

    async def _backward(self, connection: Any, producer: AIOKafkaProducer) -> bool:
        """What listeners asked to hear again: a second cursor that runs up to the first, for the asked lanes only.

        New facts of these lanes are said meanwhile, and once more in their place: who is behind takes them for a hole.
        """
        # What is being said again anyway is not begun anew: who still misses it at the end asks once more.
        self._asked = {lane: n for lane, n in self._asked.items() if n < self._again.get(lane, SEQUENCE_MAX)}
        if self._asked:
            asked = dict(self._asked)
            from_the_first = all(sequence == 1 for sequence in asked.values())
            start = 0 if from_the_first else await self._find(connection, asked)
            self._asked = {lane: n for lane, n in self._asked.items() if asked.get(lane) != n}
            log.info("relay says again", lanes=asked, after_id=start)
            self._again_cursor = min(start, self._again_cursor) if self._again else start
            self._again.update(asked)
        if not self._again:
            return False
        upto = min(self.cursor, self._again_cursor + self._records_max)
        upto, public = await self._facts(connection, self._again_cursor, upto, self._again)
        await self._send(producer, self._topic, [self._message(placed) for placed in public])
        self.sent_again += len(public)
        self._asked_at = time.monotonic()
        self._again_cursor = upto
        if upto >= self.cursor:
            self._again = {}
            await self._store_cursor(connection, self.cursor)
            if self._replay:
                await connection.execute("UPDATE relay SET replays_done = $1", self._replay)
                self._replay = 0
        return True

    async def _take_replay(self, connection: Any) -> None:
        """Say everything again if that was asked for and not done to its end yet, by whoever led then."""
        asked, done = await connection.fetchrow("SELECT replays_asked, replays_done FROM relay")
        if asked > max(done, self._replay):
            self._replay = asked
            self.say_again(dict.fromkeys(range(LANES), 1))

    async def _find(self, connection: Any, lanes: Mapping[int, int]) -> int:
        """The notification id before the first of the asked messages, searched from the newest back."""
        upto, wanted, first = self.cursor, dict(lanes), self.cursor
        while wanted and upto > 0:
            rows = await connection.fetch(
                "SELECT e.lane, min(e.sequence), min(e.notification_id) FROM events e "
                "JOIN unnest($3::smallint[], $4::bigint[]) AS w (lane, sequence) ON w.lane = e.lane "
                "WHERE e.notification_id > $1 AND e.notification_id <= $2 AND e.sequence >= w.sequence GROUP BY e.lane",
                upto - SEARCH_IDS,
                upto,
                list(wanted),
                list(wanted.values()),
            )
            for lane, sequence, notification_id in rows:
                first = min(first, notification_id - 1)
                if sequence <= wanted[lane]:
                    del wanted[lane]
            upto -= SEARCH_IDS
        return first

    def _message(self, placed: Placed) -> Outgoing:
        recorded, lane, sequence = placed.recorded, placed.lane, placed.sequence
        if isinstance(recorded.fact, Lost):
            # Nobody hears this type; it takes the place of what was said there once, so that the lane goes on.
            headers = self._headers(recorded, self._lost, recorded.fact.id, lane, sequence)
            return Outgoing(lane, key_in(lane), _encode(recorded.fact), headers)
        form = self._forms.get(type(recorded.fact))
        if form is None:
            raise UnsaidError([stored_name(type(recorded.fact))])
        of, name, key, subject = form
        message = of(recorded.fact)
        headers = self._headers(recorded, name, getattr(message, subject), lane, sequence)
        return Outgoing(lane, getattr(message, key).encode(), _encode(message), headers)

    def _headers(
        self, recorded: Recorded, name: bytes, subject: str, lane: int, sequence: int
    ) -> list[tuple[str, bytes]]:
        meta = recorded.meta
        return [  # in the order in which listeners look for them first (`reading.attributes_of`)
            ("ce_type", name),
            ("ce_id", recorded.id.encode()),
            ("ce_source", self._source),
            ("ce_specversion", b"1.0"),
            ("ce_time", instant_text(meta.at)),
            ("ce_subject", subject.encode()),
            ("ce_lane", b"%d" % lane),
            ("ce_lanesequence", b"%d" % sequence),
            ("traceparent", meta.trace.encode()),
            ("content-type", b"application/json"),
        ]

    async def _send(self, producer: AIOKafkaProducer, topic: str, messages: Sequence[Outgoing]) -> None:
        """Send in order, one record batch per partition at a time, and wait until all are acknowledged."""
        if not messages:
            return
        async with asyncio.timeout(SEND_SECONDS_MAX):
            partitions = len(await producer.partitions_for(topic))
            batches: dict[int, Any] = {}
            sent = []
            for message in messages:
                partition = message.lane % partitions
                batch = batches.get(partition)
                if batch is None:
                    batch = batches[partition] = producer.create_batch()
                if not _append(batch, message):
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = batches[partition] = producer.create_batch()
                    if not _append(batch, message):
                        raise KafkaError(f"a message of {len(message.value)} bytes fits no batch")
            for partition, batch in batches.items():
                batch.close()
                sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)

    async def _say_heads(self, connection: Any, producer: AIOKafkaProducer) -> None:
        """Tell listeners how far we have spoken, so that they notice what was lost after the last message."""
        rows = await connection.fetch("SELECT lane, head FROM lanes WHERE head > 0")
        if rows:
            said = {"kind": "heads", "speaker": self._service, "heads": {str(lane): head for lane, head in rows}}
            await self._send(producer, CONTROL_TOPIC, [Outgoing(0, self._service.encode(), _encode(said), [])])

    async def _say_letters(self, connection: Any, producer: AIOKafkaProducer, after: int) -> int:
        """Tell the world about dead letters, at least once each; the table stays the truth."""
        rows = await connection.fetch(_LETTERS, after)
        if not rows:
            return after
        letters = [
            Outgoing(
                0,
                row["key"],
                row["body"],
                [
                    ("o2c_letter", b"%d" % row["id"]),
                    ("o2c_code", row["code"].encode()),
                    ("o2c_reason", row["reason"].encode()),
                    ("o2c_topic", row["topic"].encode()),
                    ("ce_id", row["message_id"].encode()),
                    ("ce_type", row["type"].encode()),
                ],
            )
            for row in rows
        ]
        await self._send(producer, dead_letter_topic(self._service), letters)
        last: int = rows[-1]["id"]
        await connection.execute("UPDATE relay SET letters = $1", last)
        return last


def _placed(row: Any) -> Placed:
    stream, version, topic, state, lane, sequence, _ = row
    try:
        return Placed(decode_fact(stream, version, topic, state), lane, sequence)
    except TopicError as error:
        raise UnsaidError([topic]) from error


def _append(batch: Any, message: Outgoing) -> bool:
    appended = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
    return appended is not None


@lru_cache(maxsize=256)  # the facts of one batch share their instant
def instant_text(at_us: int) -> bytes:
    """Microseconds since 1970 as an RFC 3339 instant in UTC."""
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z".encode()
