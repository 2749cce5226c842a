"""A service as `o2c run NAME` starts it, with trapdoors: `python -m tests.faults.saboteur NAME`.

A file `NAME.<point>` in the directory `O2C_TRAPDOORS` makes the process die by SIGKILL or stand still, once, when it
next comes to that point. `NAME.clock` moves its wall clock by the seconds in it, `NAME.unacknowledged` has it lose as
many of Kafka's acknowledgements, `NAME.defect` makes its deciders raise. Without such files it is the service and
nothing else. `O2C_SABOTEUR` is another NAME for these files, so that replicas can differ.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.produce import ProduceRequest
from msgspec import Struct

from o2c.main import app
from services.analytics.projections import ORDER_STORY
from services.order import api as order_api
from services.receivables import app as receivables_app
from shared.contracts.catalogue import SPEAKERS
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.relay import Outgoing, Relay
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.eventsourced.work import Pass

SAYING = ("sent", "unheard")
"""sent: Kafka has acknowledged, and the relay's cursor has not moved yet; unheard: there too, but the acknowledgement
is lost instead of the process."""
HEARING = ("written", "answered", "committed")
"""written: all is written, nothing committed; answered: the store has answered what was first written, and that is
committed; committed: all is, and not acknowledged to Kafka. A batch is one statement, so the two last are the same to
the store."""
POINTS = (*SAYING, *HEARING)
FREEZING = ("saying", "decided", "writing")
"""Where the process is stopped (SIGSTOP) instead of killed. saying: it leads, and Kafka has not got the messages yet;
decided: the store has not been asked to write; writing: all is written, nothing committed, and the store's lock held.

A batch is only caught if its messages have positions, and lead to facts or to rows in the stories of orders."""


class Caught(Struct):
    """What a process had in hand when it fell through a trapdoor.

    `said`: ids of the messages on their way to Kafka. Of a batch, `facts`: how many; `at_us`: when they, and no others,
    are recorded; `told`: ids of its messages that orders' stories tell of, in a row each; `positions`: (speaker, lane,
    heard before, heard after); `session`: the server process that writes it; `transaction`: in which, once it has.
    """

    said: list[str] = []
    facts: int = 0
    at_us: int = 0
    told: list[str] = []
    positions: list[tuple[str, int, int, int]] = []
    session: int = 0
    transaction: str = ""

    @property
    def messages(self) -> int:
        """How many messages with a position the batch takes."""
        return sum(after - before for *_, before, after in self.positions)


DEFECT = "defect"
"""As long as the file is there, the decider raises for every command in it: each a line of stream and command."""


class Trapdoors:
    """Which points of this process are armed."""

    def __init__(self, service: str, directory: Path) -> None:
        self._service, self._directory = service, directory
        self._defect = directory / f"{service}.{DEFECT}"

    def armed(self, *points: str) -> bool:
        """Whether any of these points is."""
        return any(self._door(point).exists() for point in points)

    def sprung(self, point: str, caught: Caught) -> bool:
        """Whether this point was armed; it no longer is, and what was caught is written down beside it."""
        if not self.armed(point):
            return False
        door = self._door(point)
        caught_at(door).write_bytes(msgspec.json.encode(caught))
        door.unlink()
        return True

    def die_at(self, point: str, caught: Caught) -> None:
        """End as by a power failure, if this point is armed."""
        if self.sprung(point, caught):
            os.kill(os.getpid(), signal.SIGKILL)

    def defective(self, to: To[Any]) -> bool:
        """Whether the decider of this command has a defect that this command meets."""
        try:
            return f"{to.stream} {type(to.command).__name__}" in self._defect.read_text().splitlines()
        except FileNotFoundError:
            return False

    def freeze_at(self, point: str, caught: Caught) -> None:
        """Stand still until somebody sends SIGCONT, if this point is armed."""
        if self.sprung(point, caught):
            os.kill(os.getpid(), signal.SIGSTOP)

    def _door(self, point: str) -> Path:
        return self._directory / f"{self._service}.{point}"


def caught_at(door: Path) -> Path:
    """Where it is written down what this trapdoor has caught."""
    return door.with_name(f"{door.name}.caught")


def install(doors: Trapdoors) -> None:
    """Put the trapdoors into relay, unit of work and deciders."""
    _install_in_relay(doors)
    _install_in_unit_of_work(doors)
    _install_defects(doors)


def _install_in_relay(doors: Trapdoors) -> None:
    send: Callable[..., Awaitable[None]] = Relay._send

    async def send_then_fall(self: Relay, producer: Any, topic: str, messages: Sequence[Outgoing]) -> None:
        if not messages or topic != self._topic or not doors.armed("saying", "sent", "unheard"):
            await send(self, producer, topic, messages)
            return
        caught = Caught(said=[dict(message.headers)["ce_id"].decode() for message in messages])
        doors.freeze_at("saying", caught)
        await send(self, producer, topic, messages)
        doors.die_at("sent", caught)
        if doors.sprung("unheard", caught):
            raise RequestTimedOutError

    Relay._send = send_then_fall  # type: ignore[method-assign]


def _install_in_unit_of_work(doors: Trapdoors) -> None:
    write: Callable[..., Awaitable[Any]] = UnitOfWork._write
    run: Callable[..., Awaitable[None]] = UnitOfWork.run

    async def write_then_fall(self: UnitOfWork, connection: Any, batch: Batch, outcome: Any) -> Any:
        caught = _caught(batch, outcome.draft.facts)
        if caught is None:
            return await write(self, connection, batch, outcome)
        doors.freeze_at("decided", caught)
        if not doors.armed("written", "writing"):
            return await write(self, _Answering(connection, doors, caught), batch, outcome)
        async with connection.transaction():  # what is written by one statement would be committed with it
            appended = await write(self, connection, batch, outcome)
            caught.session = connection.get_server_pid()
            caught.transaction = await connection.fetchval("SELECT pg_current_xact_id()::text")
            doors.die_at("written", caught)
            doors.freeze_at("writing", caught)
        return appended

    async def run_then_fall(self: UnitOfWork, batch: Batch) -> None:
        await run(self, batch)
        caught = _caught(batch, [fact for work in batch.works for fact in work.facts])
        if caught is not None:
            doors.die_at("committed", caught)

    UnitOfWork._write = write_then_fall  # type: ignore[method-assign]
    UnitOfWork.run = run_then_fall  # type: ignore[method-assign]


class _Answering:
    """A connection on which the process dies as soon as anything is answered and committed, if that point is armed."""

    def __init__(self, connection: Any, doors: Trapdoors, caught: Caught) -> None:
        self._connection, self._doors, self._caught = connection, doors, caught

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._connection, name)
        return self._asking(asked) if name in _STATEMENTS else asked

    def _asking(self, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ask_then_fall(*arguments: Any, **options: Any) -> Any:
            answer = await ask(*arguments, **options)
            if not self._connection.is_in_transaction():
                self._doors.die_at("answered", self._caught)
            return answer

        return ask_then_fall


_STATEMENTS = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval"})


def _install_defects(doors: Trapdoors) -> None:
    decide: Callable[..., list[Recorded]] = Pass._decide_command

    def decide_or_raise(self: Pass, to: To[Any], *arguments: Any) -> list[Recorded]:
        if doors.defective(to):
            to = replace(to, decider=replace(to.decider, decide=_raises))
        return decide(self, to, *arguments)

    Pass._decide_command = decide_or_raise  # type: ignore[method-assign]


def _raises(state: Any, command: Any) -> Sequence[Any]:
    raise LookupError(f"a defect that {type(command).__name__} meets")


def _caught(batch: Batch, facts: Sequence[Recorded]) -> Caught | None:
    """None for a batch that no trapdoor opens for: nobody could tell afterwards what became of it."""
    done = [work for work in batch.works if work.error is None and not work.waits]
    told = [row[1] for work in done for table, row in work.rows if table is ORDER_STORY]
    if not batch.positions or not (facts or told):
        return None
    positions = [(speaker, lane, before, after) for (speaker, lane), (before, after) in batch.positions.items()]
    return Caught(facts=len(facts), at_us=facts[-1].meta.at if facts else 0, told=told, positions=positions)


class Clock:
    """The wall clock of this host, as wrong as its file says. Every place where the product reads it is listed in
    `test_clock.py`; what measures time goes by the monotonic clock, which nobody can set."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._right, self._right_ns = time.time, time.time_ns

    @property
    def seconds_ahead(self) -> float:
        """How far it is ahead of the true time."""
        try:
            return float(self._file.read_text() or 0)
        except FileNotFoundError:
            return 0.0

    def install(self) -> None:
        """From now on this process goes by this clock."""
        clock = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + timedelta(seconds=clock.seconds_ahead)

        time.time = lambda: self._right() + self.seconds_ahead
        time.time_ns = lambda: self._right_ns() + round(self.seconds_ahead * 1e9)
        order_api.datetime = receivables_app.datetime = Shifted  # type: ignore[attr-defined]


def show_tasks(*_: object) -> None:
    """Write to the log where every task of the event loop waits: a process that hangs is asked by SIGUSR1."""
    for task in asyncio.all_tasks():
        waiting: Any = task.get_coro()
        places = []
        while getattr(waiting, "cr_frame", None) is not None:
            frame = waiting.cr_frame
            places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
            waiting = waiting.cr_await
        print(f"task {task.get_name()}: {' > '.join(places)} > {waiting!r}", file=sys.stderr, flush=True)


class LostAcknowledgements:
    """Connections that break while Kafka's acknowledgement of facts is on its way: Kafka has them, and nobody here can
    know. The file says how many in a row are still to be lost; it is gone when they are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._topics = frozenset(speaker.topic for speaker in SPEAKERS.values())

    def install(self) -> None:
        """From now on the file is heeded, when an acknowledgement has come and before anybody has looked at it."""
        handle: Callable[..., None] = AIOKafkaConnection._handle_frame

        def lose_or_handle(connection: Any, frame: bytes) -> None:
            if self._is_of_facts(connection._requests[0][1]) and self._loses():
                connection._writer.transport.abort()
                raise ConnectionResetError("the acknowledgement was lost on its way")
            handle(connection, frame)

        AIOKafkaConnection._handle_frame = lose_or_handle

    def _is_of_facts(self, request: Any) -> bool:
        return request.API_KEY == ProduceRequest.API_KEY and not self._topics.isdisjoint(t for t, _ in request.topics)

    def _loses(self) -> bool:
        try:
            left = int(self._file.read_text()) - 1
        except FileNotFoundError:
            return False
        if left:
            self._file.write_text(str(left))
        else:
            self._file.unlink()
        return True


def main() -> None:
    """Run the service named on the command line."""
    signal.signal(signal.SIGUSR1, show_tasks)
    name, directory = os.environ.get("O2C_SABOTEUR", sys.argv[1]), Path(os.environ["O2C_TRAPDOORS"])
    install(Trapdoors(name, directory))
    Clock(directory / f"{name}.clock").install()
    LostAcknowledgements(directory / f"{name}.unacknowledged").install()
    app(["run", sys.argv[1]])


if __name__ == "__main__":
    main()
