"""A process's link to Kafka: its topics, what it hears, and the control topic that it hears and speaks on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from faststream.kafka import KafkaBroker

from shared.eventsourced.acknowledging import Acknowledging
from shared.eventsourced.consumer import Consumer, subscribe
from shared.eventsourced.gathering import Gathering
from shared.eventsourced.service import Service
from shared.frame.turning import ConsumingLoop
from shared.kafka import (
    CONTROL_TOPIC,
    METADATA_AGE_MS_MAX,
    close_quietly,
    dead_letter_topic,
    ensure_topics,
    new_producer,
)
from shared.kafka_mends import refused
from shared.settings import Settings

CONTROL_RECORDS_MAX = 100
WAIT_MS, CONTROL_WAIT_MS = 100, 500
"""For how long the broker may keep a question for records; on the control topic nothing is urgent."""
SEND_SECONDS_MAX = 10


class KafkaLink:
    """Connects one process. `loops`: the loops that take from Kafka, by name, once it is started."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        heard: Sequence[str],
        consumer: Consumer,
        hear_control: Callable[[list[Any]], Awaitable[None]],
        *,
        answering: Callable[[], bool],
        finish_seconds: float,
    ) -> None:
        """`heard`: the topics that are listened to. `answering`: whether callers wait for answers.

        `finish_seconds`: how long the batch in hand may take when the link is stopped.
        """
        self._service, self._settings, self._heard = service, settings, heard
        self._consumer, self._hear_control, self._answering = consumer, hear_control, answering
        self._finish_seconds = finish_seconds
        self._acknowledging: Acknowledging | None = None
        self._broker: KafkaBroker | None = None
        self._producer: Any = None
        self.subscriber: Any = None
        self.loops: dict[str, ConsumingLoop] = {}

    async def ensure_topics(self) -> None:
        """Create the topics that are missing. Raises what aiokafka raises when Kafka is away."""
        own = [next(iter(self._service.says.values())).contract.topic] if self._service.says else []
        settings = self._settings
        await ensure_topics(
            settings.kafka_servers,
            {*self._heard, *own, CONTROL_TOPIC, dead_letter_topic(self._service.name)},
            partitions=settings.kafka_partitions,
            replication=settings.kafka_replication,
        )

    async def start(self) -> None:
        """Create topics, join the group and take the first records. Leaves nothing behind when that fails."""
        await self.ensure_topics()
        broker = KafkaBroker(
            self._settings.kafka_servers,
            client_id=f"o2c-{self._service.name}",
            graceful_timeout=self._finish_seconds,
            acks="all",
            enable_idempotence=False,
            metadata_max_age_ms=METADATA_AGE_MS_MAX,
            apply_types=False,  # handlers take records as they are; resolving types costs a thread per batch
            logger=None,
        )
        subscriber, control = self._subscribe(broker) if self._heard else None, self._subscribe_control(broker)
        producer = new_producer(self._settings.kafka_servers)
        try:
            await producer.start()
            await broker.start()
        except BaseException:
            await close_quietly(producer)
            await broker.stop()
            raise
        self._broker, self._producer, self.subscriber = broker, producer, subscriber
        self.loops["control"] = ConsumingLoop(control)
        if subscriber is not None:
            consumer = self._consumer
            self.loops["consumer"] = ConsumingLoop(
                subscriber, worked_at=lambda: consumer.tried_at, on_idle=consumer.idle
            )

    def _subscribe(self, broker: KafkaBroker) -> Any:
        settings = self._settings
        acknowledging = self._acknowledging = Acknowledging()
        return subscribe(
            broker,
            self._heard,
            lambda records: self._consumer.handle(records, lambda: acknowledging.ours),
            group_id=self._service.name,
            gathering=Gathering(
                records_max=settings.consume_records_max,
                poll_ms=settings.consume_poll_ms,
                gather_ms=settings.consume_gather_ms,
                answering=self._answering,
            ),
            acknowledging=self._acknowledging,
            wait_ms=WAIT_MS,
            session_ms=settings.consume_session_ms,
            hears_alone=self._service.hears_alone,
        )

    def _subscribe_control(self, broker: KafkaBroker) -> Any:
        settings = self._settings
        return subscribe(
            broker,
            [CONTROL_TOPIC],
            self._hear_control,
            group_id=None,
            gathering=Gathering(records_max=CONTROL_RECORDS_MAX, poll_ms=settings.consume_poll_ms, gather_ms=0),
            acknowledging=None,
            wait_ms=CONTROL_WAIT_MS,
            session_ms=settings.consume_session_ms,
        )

    @property
    def taking(self) -> Any:
        """The client that takes from Kafka what is heard; None before there is one."""
        return None if self.subscriber is None else self.subscriber.consumer

    @property
    def refused(self) -> str:
        """What the coordinator of our group refuses; "" when nothing."""
        return refused(self.taking._coordinator) if self.taking is not None else ""

    async def say(self, value: bytes) -> None:
        """Send on the control topic. KafkaError, TimeoutError: it is not acknowledged."""
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self._producer.send_and_wait(CONTROL_TOPIC, value, key=self._service.name.encode(), partition=0)

    async def stop(self) -> None:
        """Finish the batch in hand and leave the group."""
        if self._acknowledging is not None:
            await self._acknowledging.finish()
        if self._broker is not None:
            await self._broker.stop()

    async def close(self, seconds: float) -> None:
        """Close what is left, within this time."""
        if self._producer is not None:
            await close_quietly(self._producer, seconds=seconds)
