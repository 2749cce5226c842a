"""`POST /orders` at a fixed rate from a process of its own: open loop, few instructions per request.

Every request has an instant at which it is due. It is sent then, whatever became of those before it, and its time
counts from that instant: a slow answer makes the requests behind it late, and late is what their senders would see.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid5

import msgspec
import uvloop

from o2c.bench.orders import Mix, generate, ordinary
from o2c.figures import percentile
from services.order.api import ORDER_IDS
from shared.contracts.inbound import Order
from shared.errors import UnavailableError
from shared.values import Value, evolved

CONNECTIONS = 64
REPEATED_EVERY = 50
"""Every so many requests are a repeat of an earlier one, as shops send them after a time-out."""
REPEATED_FROM = 40
"""How many requests back the repeated one is: 0.2 s at 200 requests per second."""
ANSWER_SECONDS_MAX = 30.0
SEED = 9_000
ORDERS_PER_CUSTOMER = 10


class Posted(Value, frozen=True, gc=False):
    """What came of the requests: milliseconds from due to answered, ascending; how many had which status; CPU used.

    `late_ms`: how late requests left, p99: what the sender itself adds.
    """

    milliseconds: list[float]
    statuses: dict[str, int]
    late_ms: float
    cpu_seconds: float


def mix_to_post(number: int) -> Mix:
    """Customers of their own, so many that none reaches the credit limit even if nothing is ever paid."""
    return Mix(tuple(f"BENCH-P{n}" for n in range(max(number // ORDERS_PER_CUSTOMER, 20))), ordinary(number).skus)


def orders_to_post(number: int) -> list[Order]:
    """The orders as the system will know them: their ids are made from their idempotency keys."""
    orders = generate(number, seed=SEED, mix=mix_to_post(number))
    return [evolved(order, order_id=str(uuid5(ORDER_IDS, order.order_id))) for order in orders]


def requests_of(number: int, host: str) -> list[bytes]:
    """The requests, in the order of sending. A repeat has the key and body of one before it."""
    keep = {"customer_id", "currency", "lines"}
    fresh = []
    for order in generate(number, seed=SEED, mix=mix_to_post(number)):
        content = {name: value for name, value in msgspec.to_builtins(order).items() if name in keep}
        fresh.append(_request(host, order.order_id, json.dumps(content).encode()))
    requests: list[bytes] = []
    for n, request in enumerate(fresh, 1):
        requests.append(request)
        if n % REPEATED_EVERY == 0 and n > REPEATED_FROM:
            requests.append(fresh[n - 1 - REPEATED_FROM])
    return requests


def _request(host: str, key: str, body: bytes) -> bytes:
    head = (
        f"POST /orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request on its way at most."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""
        self.gone = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """Send; the status of the answer once all of it is here."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or self._answer is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            answer, self._answer = self._answer, None
            answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the service closed the connection"))

    def close(self) -> None:
        self._transport.close()


async def connected(host: str, port: int, number: int) -> list[Connection]:
    """So many connections to one server. OSError if nobody listens."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, host, port))[1] for _ in range(number)]


class Sender:
    """Sends requests at their due instants over a fixed set of connections.

    `seconds`: from when each was due until it was answered, in the order of the answers; `due`: when that was, by
    `time.perf_counter`.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._idle = deque(connections)
        self._busy = 0
        self._waiting: deque[tuple[bytes, float]] = deque()
        self.seconds: list[float] = []
        self.due: list[float] = []
        self.late: list[float] = []
        self.statuses: dict[str, int] = {}
        self._answered = asyncio.Event()

    def close(self) -> None:
        """Close the connections that are left."""
        for connection in self._idle:
            connection.close()

    async def send(self, requests: Sequence[bytes], rate: float) -> None:
        """All of them, `rate` per second; returns when all are answered, or counted as not answered in time."""
        started = time.perf_counter()
        for n, request in enumerate(requests):
            due = started + n / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self.late.append(max(time.perf_counter() - due, 0.0))
            self._take(request, due)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                while sum(self.statuses.values()) < len(requests):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            self._count("no answer", len(requests) - sum(self.statuses.values()))

    def _take(self, request: bytes, due: float) -> None:
        while self._idle and self._idle[0].gone:
            self._idle.popleft()
        if not self._idle:
            if self._busy:
                self._waiting.append((request, due))
            else:
                self._count("no answer", 1)  # the service has closed all connections
            return
        connection = self._idle.popleft()
        self._busy += 1
        connection.ask(request).add_done_callback(lambda answer: self._note(connection, answer, due))

    def _note(self, connection: Connection, answer: "asyncio.Future[int]", due: float) -> None:
        self._busy -= 1
        self.seconds.append(time.perf_counter() - due)
        self.due.append(due)
        if answer.exception() is None:
            self._count(str(answer.result()), 1)
            self._idle.append(connection)
        else:
            self._count("no answer", 1)
        if self._waiting:
            self._take(*self._waiting.popleft())

    def _count(self, status: str, number: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + number
        self._answered.set()


async def post(url: str, number: int, rate: float) -> None:
    """Send so many orders to a service and say what came of it; begins when a line comes on stdin."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    requests = requests_of(number, parts.netloc)
    sender = Sender(await connected(host, port, CONNECTIONS))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    used = time.process_time()
    await sender.send(requests, rate)
    done = Posted(
        sorted(1000 * seconds for seconds in sender.seconds),
        sender.statuses,
        1000 * percentile(sorted(sender.late), 99),
        time.process_time() - used,
    )
    sender.close()
    print(msgspec.json.encode(done).decode(), flush=True)


class Poster:
    """The sending process, seen from the bench: prepared, then set going, then asked what came of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def go(self) -> None:
        """Send the first request now."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def done(self) -> Posted:
        """What came of it, when all requests are answered. UnavailableError if the process failed."""
        return msgspec.json.decode(await _line(self._process), type=Posted)


@asynccontextmanager
async def poster(url: str, number: int, rate: float) -> AsyncIterator[Poster]:
    """A sending process with its requests made and its connections open."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "o2c.bench.http_load", url, str(number), str(rate)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,  # one line holds the time of every request
    )
    try:
        await _line(process)
        yield Poster(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise UnavailableError("the process that posts orders failed; its error is above")
    return line


if __name__ == "__main__":
    address, how_many, per_second = sys.argv[1:]
    uvloop.run(post(address, int(how_many), float(per_second)))
