"""A service as `o2c run NAME` starts it, with trapdoors: `python -m tests.faults.saboteur NAME`.

A file `NAME.<point>` in the directory `O2C_TRAPDOORS` makes the process die by SIGKILL, once, when it next comes to
that point; without such a file it is the service and nothing else.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiokafka.errors import RequestTimedOutError

from o2c.main import app
from shared.eventsourced.relay import Relay
from shared.eventsourced.unit_of_work import Batch, UnitOfWork

POINTS = ("sent", "unheard", "written", "committed")
"""sent: Kafka has acknowledged, and the relay's cursor has not moved yet; unheard: there too, but the acknowledgement
is lost instead of the process; written: all is written, nothing committed; committed: and not acknowledged to Kafka."""


class Trapdoors:
    """Which points of this process are armed."""

    def __init__(self, service: str, directory: Path) -> None:
        self._service, self._directory = service, directory

    def sprung(self, point: str) -> bool:
        """Whether this point was armed; it no longer is."""
        try:
            (self._directory / f"{self._service}.{point}").unlink()
        except FileNotFoundError:
            return False
        return True

    def die_at(self, point: str) -> None:
        """End as by a power failure, if this point is armed."""
        if self.sprung(point):
            os.kill(os.getpid(), signal.SIGKILL)


def install(doors: Trapdoors) -> None:
    """Put the trapdoors into relay and unit of work."""
    send: Callable[..., Awaitable[None]] = Relay._send
    write: Callable[..., Awaitable[Any]] = UnitOfWork._write
    run: Callable[..., Awaitable[None]] = UnitOfWork.run

    async def send_then_fall(self: Relay, producer: Any, topic: str, messages: Any) -> None:
        await send(self, producer, topic, messages)
        if messages and topic == self._topic:
            doors.die_at("sent")
            if doors.sprung("unheard"):
                raise RequestTimedOutError

    async def write_then_fall(self: UnitOfWork, *arguments: Any) -> Any:
        entries = await write(self, *arguments)
        doors.die_at("written")
        return entries

    async def run_then_fall(self: UnitOfWork, batch: Batch) -> None:
        await run(self, batch)
        doors.die_at("committed")

    Relay._send = send_then_fall  # type: ignore[method-assign]
    UnitOfWork._write = write_then_fall  # type: ignore[method-assign]
    UnitOfWork.run = run_then_fall  # type: ignore[method-assign]


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


def main() -> None:
    """Run the service named on the command line."""
    signal.signal(signal.SIGUSR1, show_tasks)
    install(Trapdoors(sys.argv[1], Path(os.environ["O2C_TRAPDOORS"])))
    app(["run", sys.argv[1]])


if __name__ == "__main__":
    main()
