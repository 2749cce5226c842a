"""A service as a process: everything is built here, started in order, watched, and stopped in reverse."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from typing import Any

import asyncpg
import structlog
from aiokafka import TopicPartition

from shared.contracts.catalogue import SPEAKERS, contracts
from shared.contracts.messages import contract_of
from shared.errors import UnavailableError, in_words
from shared.eventsourced.cache import StateCache
from shared.eventsourced.command_queue import CommandQueue
from shared.eventsourced.consumer import Consumer
from shared.eventsourced.faults import Backoff, passes, unavailable
from shared.eventsourced.hearing import Translator
from shared.eventsourced.migrating import check_tables, migrate
from shared.eventsourced.projecting import MessageProjection
from shared.eventsourced.publishing import LANES
from shared.eventsourced.reading import Decoders, read
from shared.eventsourced.rebuilding import REBUILD_SECONDS_MAX, rebuild
from shared.eventsourced.relay import Relay
from shared.eventsourced.resending import Resending
from shared.eventsourced.restoring import origin_problem, overtaken
from shared.eventsourced.retrying import Letters
from shared.eventsourced.service import Service, nothing_due
from shared.eventsourced.store import UNHURRIED, Store, connect_pool
from shared.eventsourced.unit_of_work import UnitOfWork
from shared.eventsourced.writing import Position
from shared.frame.collecting import Collecting
from shared.frame.due import do_what_is_due
from shared.frame.http import build_http
from shared.frame.kafka_link import KafkaLink
from shared.frame.own_topic import last_said
from shared.frame.serving import HttpServer
from shared.frame.status import lag_of, untaken
from shared.settings import Settings
from shared.telemetry.service import MetricsPage, Telemetry

log = structlog.get_logger()

CHECK_SECONDS = 1.0
SWEEP_SECONDS = 5.0
DRAIN_SHARE, CLOSING_SHARE = 0.7, 0.9
"""Of the grace period: until when the work in hand may end, and until when all is closed, what hangs included."""
ASKING_SECONDS_MAX = 3.0
"""How long commands wait at the start for Kafka to say how far the service has spoken."""
STORE_ANSWER_SECONDS_MAX = 2.0
"""How long a probe waits for the store: less than the probe itself is waited for."""
SAY_SECONDS_MAX = 2.0
"""How long the end of a process waits for Kafka to take the last messages: who leads next would say them, too."""
CLOSING_SECONDS_MAX = 5.0
"""How long closing any one thing may take, in the grace period or without one."""
NEEDED_TO_ANSWER = frozenset({"store", "history", "process"})
"""Parts of `missing` without which no request can be answered."""


class Running:
    """One service process. `run()` returns when it was asked to stop and everything in hand is finished."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service, self.settings, self.version = service, settings, version("o2c")
        self._dsn = settings.database_of(service.name)
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._missing: dict[str, str] = {"store": "not connected yet", "kafka": "not connected yet"}
        self._begun = self._asked = False
        self._own_topic = next((says.contract.topic for says in service.says.values()), "")
        self._topics = sorted({contract_of(message).topic for message in service.hears})
        self._speakers = {s.topic: s.name for s in SPEAKERS.values() if s.topic in self._topics}
        self._closed_by = math.inf
        self._collecting = Collecting()
        self.telemetry = Telemetry(service, settings, self.version)
        self.metrics = MetricsPage(self, self.telemetry)
        self.port = 0
        self.started_at = time.time()

    async def run(self, announce: Callable[[int], None] = lambda port: None) -> None:
        """Start, serve until `stop()`, and shut down cleanly. `announce` is told the HTTP port."""
        async with AsyncExitStack() as stack:
            self.telemetry.start()
            stack.push_async_callback(lambda: self.telemetry.close(self._left()))
            # A standby that took over may lack the last commits: states that came of them are not to be believed.
            cache = StateCache(self.settings.cached_bytes_max)
            self.pool = await connect_pool(self._dsn, replaced=cache.clear)
            stack.push_async_callback(self._close_pool)
            self._build(cache)
            # Health answers from the first moment: a database or broker that is away is said, not hung on.
            self._serve_http(stack, announce)
            starting = asyncio.create_task(self._start(stack))
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()  # what never passes, such as a changed migration, ends the process
            await stopping
            log.info("stopping")
            self._closed_by = time.monotonic() + self.settings.shutdown_seconds * CLOSING_SHARE
            await self._drain(starting)
        log.info("stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        await self._open_store()
        # Before the first command is decided. A Kafka that is away is asked before anything is said or heard.
        with suppress(Exception):
            async with asyncio.timeout(ASKING_SECONDS_MAX):
                await self._ask_how_far_we_spoke()
        self._spawn("commands", self.commands.run())
        self._spawn("relay", self.relay.run())
        if self.service.due is not nothing_due:
            self._spawn("due", do_what_is_due(self.service, self.commands, self.work))
        if self.telemetry.pushes:
            self._spawn("metrics", self.telemetry.push(self.metrics.families))
        self._collecting.settle()
        await self._connect_kafka(stack)

    def stop(self) -> None:
        """Finish what is in hand and end."""
        self._stopping.set()

    # ---- starting

    async def _open_store(self) -> None:
        """Migrate, waiting for a database that is away for as long as nobody stops us."""
        backoff = Backoff()
        while True:
            try:
                async with self.pool.acquire() as connection:
                    await migrate(connection, self.service.migrations)
                    await check_tables(connection, [p.table for p in self.service.projections])
                    await self._prepare_positions(connection)
                    self._refuse(await origin_problem(connection, self.service.name))
            except Exception as error:
                if not (passes(error) or isinstance(error, asyncpg.InvalidCatalogNameError)):
                    raise
                self._missing["store"] = in_words(error)
                log.warning("store is away", error=self._missing["store"])
                await backoff.wait()
            else:
                del self._missing["store"]
                return

    def _refuse(self, problem: str) -> None:
        """Write nothing more, and say why; nothing if there is no problem."""
        if problem:
            log.error("does not write", problem=problem)
            self.work.refusal = problem

    async def _before_speaking(self) -> None:
        """Whoever begins to lead may do so because the database was replaced by one that has forgotten something."""
        await self.kafka.ensure_topics()
        await self._ask_how_far_we_spoke()

    async def _ask_how_far_we_spoke(self) -> None:
        """Refuse to write if Kafka holds what the store has forgotten. Raises what aiokafka raises when it is away."""
        if self._own_topic:
            said = await last_said(self.settings.kafka_servers, self.service.name, self._own_topic)
            await self._on_heard(said, "Kafka has")
        self._asked = True

    async def _on_heard(self, heard: Mapping[int, int], who: str = "others have") -> None:
        if not self.work.refusal:
            async with self.pool.acquire() as connection:
                self._refuse(await overtaken(connection, self.service.name, heard, who))

    async def _prepare_positions(self, connection: Any) -> None:
        speakers = sorted(self._speakers.values())
        await connection.execute(
            "INSERT INTO positions (speaker, lane) SELECT s, l FROM unnest($1::text[]) s, generate_series(0, $2) l "
            "ON CONFLICT DO NOTHING",
            speakers,
            LANES - 1,
        )

    def _build(self, cache: StateCache) -> None:
        self._build_writing(cache)
        self._build_hearing()

    def _build_writing(self, cache: StateCache) -> None:
        """What decides, appends and publishes."""
        service, settings = self.service, self.settings
        self.store = Store(cache)
        self.relay = Relay(
            service.name,
            service.says,
            self._dsn,
            settings.kafka_servers,
            self._before_speaking,
            records_max=settings.relay_records_max,
            poll_ms=settings.relay_poll_ms,
            heads_seconds=settings.heads_seconds,
            on_said=self.telemetry.on_said,
        )
        self.work = UnitOfWork(
            service, self.pool, self.store, on_commit=self.relay.committed, on_worked=self.telemetry.on_worked
        )
        self.commands = CommandQueue(
            self.work,
            self.pool,
            self.store,
            queued_max=settings.commands_queued_max,
            batch_max=settings.commands_batch_max,
        )

    def _build_hearing(self) -> None:
        """What listens to others, and is listened to when it has missed something."""
        service, settings = self.service, self.settings
        projections = [p for p in service.projections if isinstance(p, MessageProjection)]
        translator = Translator(service.hears, projections, Decoders(contracts(), service.hears))
        self.consumer = Consumer(
            self.work,
            translator,
            self._speakers,
            self.read_positions,
            body_bytes_max=settings.body_bytes_max,
            hears_alone=service.hears_alone,
            on_heard=self.telemetry.on_heard,
        )
        self.letters = Letters(
            self.pool, self.work, translator, lambda record: read(record, self._speakers, settings.body_bytes_max)
        )
        self.resending = Resending(
            service.name,
            self.relay,
            list(self._speakers.values()),
            self.read_positions,
            self._send_control,
            self._taken,
            self._on_heard,
        )
        self.kafka = KafkaLink(
            service,
            settings,
            self._topics,
            self.consumer,
            self.resending.hear,
            answering=lambda: self.commands.busy,
            finish_seconds=settings.shutdown_seconds * DRAIN_SHARE,
        )

    def _serve_http(self, stack: AsyncExitStack, announce: Callable[[int], None]) -> None:
        app = self.telemetry.around(build_http(self, self.commands))
        self._http = HttpServer(app, self.settings.http_host, self.settings.http_port)
        self._http.start()
        stack.push_async_callback(lambda: self._http.close(self._left()))
        self.port = self._http.port
        announce(self.port)

    async def _connect_kafka(self, stack: AsyncExitStack) -> None:
        backoff = Backoff()
        while True:
            try:
                if not self._asked:
                    await self._ask_how_far_we_spoke()
                await self.kafka.start()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._missing["kafka"] = in_words(error)
                log.warning("kafka is away", error=self._missing["kafka"])
                await backoff.wait()
            else:
                self._missing.pop("kafka", None)
                self._begun = True
                stack.push_async_callback(lambda: self.kafka.close(self._left()))
                self._spawn("watch", self._watch())
                log.info("started", port=self.port)
                return

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    # ---- stopping

    async def _drain(self, starting: asyncio.Task[None]) -> None:
        """Finish the batch in hand and leave the group, answer the last requests meanwhile, and let the relay go.

        All of it within its share of the grace period: what waits for a database that is away is left to be delivered
        again, and what cannot be closed because its other end is away is dropped.
        """
        seconds_max = self.settings.shutdown_seconds * DRAIN_SHARE
        finishing = [
            asyncio.create_task(self._answer_the_last(seconds_max)),
            asyncio.create_task(self._leave(starting)),
        ]
        await asyncio.wait(finishing, timeout=seconds_max)
        await self._say_the_last()
        ending = [starting, *self._tasks.values(), *finishing]
        for task in ending:
            task.cancel()
        await asyncio.wait(ending, timeout=self._left())

    async def _leave(self, starting: asyncio.Task[None]) -> None:
        """Hear nothing more. Who is still on the way to Kafka turns back first, and does not arrive after all."""
        starting.cancel()
        await asyncio.wait([starting])
        await self.kafka.stop()

    async def _answer_the_last(self, seconds_max: float) -> None:
        """Commands are taken as long as requests are: who was let in gets the answer, not a refusal."""
        self.service.stopping()
        await self._http.close(seconds_max, min(self.settings.http_linger_seconds, seconds_max / 2))
        self.commands.close()
        if "commands" in self._tasks:
            await asyncio.wait([self._tasks["commands"]])
        await self.service.close()

    async def _say_the_last(self) -> None:
        """What was committed at the end is said by who leads now: a sending cut off is done again by who leads next."""
        if self.relay.leads:
            self.relay.finish()
            await asyncio.wait([self._tasks["relay"]], timeout=min(SAY_SECONDS_MAX, self._left()))

    def _left(self) -> float:
        """Seconds for closing one more thing."""
        return max(0.1, min(CLOSING_SECONDS_MAX, self._closed_by - time.monotonic()))

    async def _close_pool(self) -> None:
        try:
            await asyncio.wait_for(self.pool.close(), self._left())
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            self.pool.terminate()

    # ---- while running

    async def read_positions(self) -> dict[Position, int]:
        """How far each speaker was heard in each lane, from the store."""
        rows = await self.pool.fetch("SELECT speaker, lane, sequence FROM positions")
        return {(speaker, lane): sequence for speaker, lane, sequence in rows}

    async def _watch(self) -> None:
        """Ask for what Kafka lost, create topics that went, and take up letters that need not wait any more."""
        swept_at = 0.0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if "kafka" in self._missing:
                for loop in self.kafka.loops.values():
                    loop.excuse()
            try:
                if time.monotonic() - swept_at > SWEEP_SECONDS or "kafka" in self._missing:
                    swept_at = time.monotonic()
                    await self._find_kafka()
                    await self.letters.sweep()
                    await self.letters.prune(self.settings.dead_letters_kept_days)
                await self.resending.check(self.consumer.gaps)
            except Exception as error:
                log.warning("watching was disturbed", error=in_words(error))

    async def _find_kafka(self) -> None:
        """Create topics that went; a broker that is away is said in `missing`, also by who has nothing to publish."""
        try:
            await self.kafka.ensure_topics()
        except Exception as error:
            self._missing["kafka"] = in_words(error)
            raise
        self._missing.pop("kafka", None)

    async def _send_control(self, value: bytes) -> None:
        if "kafka" in self._missing:
            raise UnavailableError("Kafka is away; try again later")
        await self.kafka.say(value)

    async def _taken(self) -> Callable[[Position], bool]:
        """Tells of a lane whether this process has taken all that Kafka holds of it: others' partitions are theirs to
        ask for, one that rests at what cannot be read is not done, and a batch that waits for a fault to pass may have
        anything in it."""
        consumer = self.kafka.taking
        behind = await untaken(consumer) if consumer is not None and not self.consumer.fault else {}
        topics = {speaker: topic for topic, speaker in self._speakers.items()}

        def taken(lane: Position) -> bool:
            topic = topics.get(lane[0], "")
            partitions = len(consumer.partitions_for_topic(topic) or ()) if behind else 0
            return partitions > 0 and behind.get(TopicPartition(topic, lane[1] % partitions)) == 0

        return taken

    def dead(self) -> list[str]:
        """Parts of the process that nothing but a restart brings back. Empty while it starts, waits, idles or stops.

        Dead is a task that ended although nobody stopped it, and a loop that takes from Kafka and has not turned for
        STILL_SECONDS_MAX. A topic on which nothing happens is not dead, and neither is who waits for Kafka or
        PostgreSQL to come back, for however long: that is said by `missing`, and passes by itself.
        """
        if self._stopping.is_set():
            return []
        ended = [name for name, task in self._tasks.items() if task.done()]
        return ended + [f"{name} loop {fault}" for name, loop in self.kafka.loops.items() if (fault := loop.fault())]

    async def missing(self) -> dict[str, str]:
        """What keeps this process from doing all of its work: part → reason. Empty when it does."""
        missing = dict(self._missing)
        if self._stopping.is_set():
            missing["process"] = "is stopping"
        if (fault := await self._store_fault()) is not None:
            missing["store"] = fault
        if self.work.refusal:
            missing["history"] = self.work.refusal
        if fault := self.consumer.fault or self.kafka.refused:
            missing["consumer"] = fault
        if self.relay.fault:
            missing["relay"] = self.relay.fault
        return missing

    def ready(self, missing: Mapping[str, str]) -> bool:
        """Whether requests belong here, by what `missing` said.

        Not before the process has joined its group. After that a broker that is away is no reason to turn callers away:
        what would be said waits in the store, and what would be heard in Kafka.
        """
        return self._begun and not missing.keys() & NEEDED_TO_ANSWER

    async def _store_fault(self) -> str | None:
        """Why the store does not answer; None if it does.

        Asked in a task that is left alone when it takes too long: with a server that hangs, a connection cannot even be
        given back to the pool, and whoever asks (a probe) has to be answered.
        """
        asking = asyncio.ensure_future(self.pool.fetchval("SELECT 1"))
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())  # so that nobody misses it
        await asyncio.wait([asking], timeout=STORE_ANSWER_SECONDS_MAX)
        if not asking.done():
            asking.cancel()
            return f"no answer within {STORE_ANSWER_SECONDS_MAX:g} s"
        error = asking.exception()
        return None if error is None else in_words(error)

    @property
    def uptime_seconds(self) -> float:
        """Since when the process runs, by the wall clock."""
        return time.time() - self.started_at

    @property
    def gc_seconds(self) -> float:
        """CPU seconds of garbage collection so far."""
        return self._collecting.seconds

    async def lag(self) -> dict[str, int]:
        """Topic → messages in this process's partitions that it has not taken yet."""
        consumer = self.kafka.taking
        return {} if consumer is None else await lag_of(consumer)

    async def replay(self) -> int:
        """Say every public fact of this service again; listeners drop what they know. Returns the number of lanes.

        Asked in the store, because the replica whose relay leads may be another one, and Kafka may be away.
        """
        try:
            await self.pool.execute("UPDATE relay SET replays_asked = replays_asked + 1")
        except Exception as error:
            raise unavailable(error) from error
        self.relay.look()
        return LANES

    async def rebuild(self) -> int:
        """Make the read tables anew: from the own facts, or, for what others said, by hearing everything again."""
        if not any(isinstance(p, MessageProjection) for p in self.service.projections):
            async with self.pool.acquire() as connection:
                return await rebuild(connection, self.service)
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(UNHURRIED)
            await connection.execute("SELECT lock_store()", timeout=REBUILD_SECONDS_MAX)
            for projection in self.service.projections:
                await connection.execute(f"DELETE FROM {projection.table.name}", timeout=REBUILD_SECONDS_MAX)
            # What was parked is heard again with everything else, and is parked again if it still fails.
            await connection.execute("DELETE FROM dead_letters WHERE stream <> ''", timeout=REBUILD_SECONDS_MAX)
            await connection.execute("UPDATE positions SET sequence = 0")
        for speaker in self._speakers.values():
            await self.resending.ask(speaker, {lane: 1 for lane in range(LANES)})
        return 0
