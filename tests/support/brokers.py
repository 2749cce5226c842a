"""Which broker and which PostgreSQL the connected tests run on, decided once and said in one line.

In this order: an address in `O2C_TEST_KAFKA_SERVERS` / `O2C_TEST_DATABASE_URL`; Docker, if an engine answers and has
or gets the image; Apache Kafka by Java; the embedded broker. `O2C_REQUIRE_KAFKA=1` forbids the last one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient

from o2c.stack import Kafka, KafkaUnavailable, Postgres, Tansu
from o2c.stack.brokers import answers
from o2c.stack.kafka import VERSION, ensure_jars, find_java
from o2c.stack.ports import LOOPBACK, free_port

KAFKA_IMAGE = f"apache/kafka:{VERSION}"
POSTGRES_IMAGE = "postgres:18"
_EMPTY_SECONDS_MAX = 20.0
_DOCKER_READY_SECONDS_MAX = 60.0


class NoKafkaError(Exception):
    """Apache Kafka is required and cannot be had; the message says why."""


@dataclass(frozen=True)
class Choice:
    """What to run on; `why` is the reason for not having taken what comes before it."""

    kind: Literal["given", "docker", "kafka", "embedded"]
    address: str = ""
    why: str = ""

    @property
    def sentence(self) -> str:
        """For people, one line."""
        match self.kind:
            case "given":
                return f"broker: the one at {self.address}"
            case "docker":
                return f"broker: Apache Kafka in Docker ({KAFKA_IMAGE})"
            case "kafka":
                return f"broker: Apache Kafka {VERSION} by Java"
            case "embedded":
                return f"broker: the embedded one (Tansu, memory only), not Apache Kafka: {self.why}"


def choose_broker(
    environment: Mapping[str, str],
    docker_image: Callable[[str], str] | None = None,
    kafka_by_java: Callable[[], str] | None = None,
) -> Choice:
    """The broker to test on. The two functions say why something cannot be had, or "". NoKafkaError: see above."""
    if given := environment.get("O2C_TEST_KAFKA_SERVERS"):
        return Choice("given", given)
    if not (docker_image or why_no_docker)(KAFKA_IMAGE):
        return Choice("docker")
    why = (kafka_by_java or why_no_kafka)()
    if not why:
        return Choice("kafka")
    if environment.get("O2C_REQUIRE_KAFKA") == "1":
        raise NoKafkaError(f"O2C_REQUIRE_KAFKA=1, and Apache Kafka cannot be had: {why}")
    return Choice("embedded", why=why)


def choose_postgres(environment: Mapping[str, str], docker_image: Callable[[str], str] | None = None) -> Choice:
    """The PostgreSQL to test on: given, Docker, or the wheel's."""
    if given := environment.get("O2C_TEST_DATABASE_URL"):
        return Choice("given", given.rstrip("/"))
    return Choice("embedded" if (docker_image or why_no_docker)(POSTGRES_IMAGE) else "docker")


def why_no_kafka() -> str:
    """Why Apache Kafka cannot run here, in one line; "" when it can. Fetches its jars if need be."""
    try:
        find_java()
        ensure_jars()
    except KafkaUnavailable as error:
        return " ".join(error.message.split())
    return ""


def why_no_docker(image: str) -> str:
    """Why a container of this image cannot run here; "" when it can. Pulls the image if need be."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        with _closing(docker.from_env(timeout=120)) as client:
            client.ping()
            try:
                client.images.get(image)
            except ImageNotFound:
                client.images.pull(image)
    except (DockerException, OSError) as error:
        return f"no Docker: {error}"
    return ""


@asynccontextmanager
async def running_broker(choice: Choice, home: Path) -> AsyncIterator[str]:
    """Bootstrap servers of the chosen broker while the block runs."""
    match choice.kind:
        case "given":
            yield choice.address
        case "docker":
            with _kafka_container() as servers:
                await _until_answered(servers)
                yield servers
        case "kafka" | "embedded":
            broker = kafka_in(home) if choice.kind == "kafka" else tansu_in(home)
            await broker.start()
            try:
                yield broker.servers
            finally:
                await broker.stop()


@asynccontextmanager
async def running_postgres(choice: Choice, home: Path) -> AsyncIterator[str]:
    """Address of the chosen PostgreSQL server, without a database, while the block runs."""
    match choice.kind:
        case "given":
            yield choice.address
        case "docker":
            with _postgres_container() as url:
                yield url
        case _:
            postgres = postgres_in(home)
            await postgres.start()
            try:
                yield postgres.url
            finally:
                await postgres.stop()


def kafka_in(home: Path) -> Kafka:
    """An Apache Kafka of one's own, not started."""
    return Kafka("broker", home / "log" / "broker.log", free_port(), home=home, controller_port=free_port())


def tansu_in(home: Path) -> Tansu:
    """An embedded broker of one's own, not started."""
    return Tansu("broker", home / "log" / "broker.log", free_port())


def postgres_in(home: Path) -> Postgres:
    """A PostgreSQL of one's own, not started."""
    return Postgres("postgres", home / "log" / "postgres.log", free_port(), home=home)


async def empty_broker(servers: str) -> None:
    """Delete all topics, and with them what groups have committed; returns when the broker no longer lists any.

    Consumers and producers of earlier tests must be closed: on the embedded broker one that still asks for a topic
    creates it again.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        async with asyncio.timeout(_EMPTY_SECONDS_MAX):
            while topics := [topic for topic in await client.list_topics() if not topic.startswith("__")]:
                await client.delete_topics(topics)
                await asyncio.sleep(0.05)
    finally:
        await client.close()


@contextmanager
def _kafka_container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    port = free_port()
    container = DockerContainer(KAFKA_IMAGE)
    # Docker's client takes (address, port), `with_bind_ports` only a port on every interface.
    container.ports["9092/tcp"] = (LOOPBACK, port)  # type: ignore[assignment]
    for name, value in _kafka_environment(port).items():
        container = container.with_env(name, value)
    with container:
        yield f"{LOOPBACK}:{port}"


def _kafka_environment(port: int) -> dict[str, str]:
    """The same settings as of the node that Java runs here."""
    return {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }


@contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(POSTGRES_IMAGE, driver=None).with_command("postgres -c max_connections=200") as container:
        yield container.get_connection_url().rpartition("/")[0]


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        client.close()


async def _until_answered(servers: str) -> None:
    async with asyncio.timeout(_DOCKER_READY_SECONDS_MAX):
        while not await answers(servers):
            await asyncio.sleep(0.2)
