"""The running system as tests reach it: an HTTP client per service, a Kafka producer, the `o2c` command, the stores."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from o2c.outside.envelope import envelope
from o2c.settling import settled
from o2c.stack import Stack
from shared.contracts.messages import Message

SECONDS_MAX = 60.0
"""How long a test waits for what the services do among themselves."""

COMMAND_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05
PAGE = 500
ENGINE_TABLES = frozenset(
    {"events", "lanes", "positions", "relay", "said", "snapshots", "number_series", "dead_letters", "schema_migrations"}
)
T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], wanted: object, seconds_max: float = SECONDS_MAX) -> T:
    """Look again and again until one sees what is wanted; fail with the difference when that takes too long."""
    end = time.monotonic() + seconds_max
    while True:
        seen = await look()
        if seen == wanted:
            return seen
        assert time.monotonic() < end or seen == wanted, f"after {seconds_max} s\n  wanted {wanted}\n  saw    {seen}"
        await asyncio.sleep(POLL_SECONDS)


async def eventually_true(holds: Callable[[], Awaitable[object]], seconds_max: float = SECONDS_MAX) -> None:
    """Wait until it holds; fail when that takes too long."""

    async def look() -> bool:
        return bool(await holds())

    await eventually(look, True, seconds_max)


@dataclass(frozen=True)
class Command:
    """What a run of the `o2c` command led to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return msgspec.json.decode(self.out)


async def o2c(environment: Mapping[str, str], *arguments: str) -> Command:
    """Run the operator's command to its end; killed when it takes too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "o2c",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS_MAX)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    assert process.returncode is not None
    return Command(process.returncode, out.decode(), err.decode())


@dataclass
class System:
    """One stack for all end-to-end tests. `kafka_servers`: the broker that its services use."""

    stack: Stack
    home: Path
    kafka_servers: str
    environment: Mapping[str, str]
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    _exits: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        for name in self.stack.services:
            client = httpx.AsyncClient(base_url=self.stack.http_url(name), trust_env=False, timeout=20)
            self.clients[name] = await self._exits.enter_async_context(client)
        # The messages of a shop's own producer: larger than what our services take, compressed to pass the broker.
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka_servers, acks="all", max_request_size=4_000_000, compression_type="zstd"
        )
        await self._producer.start()
        self._exits.push_async_callback(self._producer.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    # ---- HTTP

    @property
    def http_urls(self) -> dict[str, str]:
        """Service → base address."""
        return {name: self.stack.http_url(name) for name in self.stack.services}

    async def get(self, service: str, path: str, **params: Any) -> Any:
        """The JSON of a path that must be there."""
        response = await self.clients[service].get(path, params=params)
        assert response.status_code == 200, f"GET {service}{path}: {response.status_code} {response.text}"
        return response.json()

    async def post(self, service: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Whatever a service answers to a body; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.clients[service].post(path, json=body, headers=named)

    async def done(self, service: str, path: str, body: object = None, **headers: str) -> Any:
        """The JSON answer to a request that must succeed."""
        response = await self.post(service, path, body, **headers)
        assert response.is_success, f"POST {service}{path}: {response.status_code} {response.text}"
        return response.json()

    async def pages(self, service: str, path: str, limit: int = PAGE, **params: Any) -> list[Any]:
        """All items of a list, page after page."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            given = params if cursor is None else {**params, "cursor": cursor}
            page = await self.get(service, path, limit=limit, **given)
            assert len(page["items"]) <= limit
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    # ---- Kafka

    async def say(self, *messages: Message) -> None:
        """Publish inbound messages as the outside world does; returns when the broker has them."""
        now = datetime.now(UTC)
        records = [envelope(message, now) for message in messages]
        sent = [await self._producer.send(r.topic, r.value, key=r.key, headers=r.headers) for r in records]
        await asyncio.gather(*sent)

    async def send(
        self, topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = (), key: bytes = b"k"
    ) -> None:
        """Publish any record, however wrong."""
        await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))

    # ---- the operator

    async def o2c(self, *arguments: str, code: int = 0) -> Command:
        """Run the operator's command against this system; it must end with this code."""
        command = await o2c(self.environment, *arguments)
        assert command.code == code, f"o2c {' '.join(arguments)}: {command.code}\n{command.out}\n{command.err}"
        return command

    async def statuses(self) -> dict[str, Any]:
        """`GET /status` of every service."""
        return {name: await self.get(name, "/status") for name in self.clients}

    async def rests(self) -> None:
        """Return when every service has said and heard everything there is."""
        assert await settled(self.http_urls, seconds_max=SECONDS_MAX), await self.statuses()

    async def letters(self, service: str, after: int = 0, status: str = "") -> list[Any]:
        """Dead letters of a service with greater ids than `after`, oldest first."""
        found = await self.pages(service, "/dead-letters", status=status)
        return sorted((letter for letter in found if letter["id"] > after), key=lambda letter: letter["id"])

    async def last_letter(self, service: str) -> int:
        """The id of the youngest dead letter of a service, 0 when there is none."""
        return max((letter["id"] for letter in await self.letters(service)), default=0)

    async def drop(self, service: str, letters: Sequence[Mapping[str, Any]]) -> None:
        """Give dead letters up that a test has led to, so that nothing is left stuck."""
        for letter in letters:
            await self.done(service, f"/dead-letters/{letter['id']}/drop")

    # ---- the stores

    async def execute(self, service: str, sql: str) -> None:
        """Do something to a service's database behind its back."""
        connection = await asyncpg.connect(self._database(service))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def event_count(self, service: str) -> int:
        """How many events a service has stored."""
        connection = await asyncpg.connect(self._database(service))
        try:
            return int(await connection.fetchval("SELECT count(*) FROM events"))
        finally:
            await connection.close()

    async def event_counts(self) -> dict[str, int]:
        """Service → how many events it has stored."""
        return {name: await self.event_count(name) for name in self.clients}

    async def read_tables(self, service: str) -> dict[str, list[str]]:
        """Read table → all its rows as text, sorted."""
        connection = await asyncpg.connect(self._database(service))
        try:
            names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            rows = {}
            for (name,) in names:
                if name not in ENGINE_TABLES:
                    found = await connection.fetch(f"SELECT t::text FROM {name} t ORDER BY 1")
                    rows[name] = [row[0] for row in found]
            return rows
        finally:
            await connection.close()

    def _database(self, service: str) -> str:
        return f"{self.stack.database_url}/o2c_{service}"
