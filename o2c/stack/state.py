"""What is known on disk about the stack of one home: who owns it, which processes, ports and logs belong to it."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from o2c.stack.errors import AlreadyUpError
from o2c.stack.processes import Identity

Phase = Literal["starting", "up", "stopping", "down"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the stack. `status` is running, stopped, or failed: ended and, for now, not started again."""

    port: int
    log: str
    pid: int | None = None
    started_ticks: int | None = None
    status: Literal["running", "stopped", "failed"] = "stopped"
    restarts: int = 0
    problem: str = ""

    @property
    def identity(self) -> Identity | None:
        """The process, as long as it is the very one that was started."""
        if self.pid is None or self.started_ticks is None:
            return None
        identity = Identity(self.pid, self.started_ticks)
        return identity if identity.alive else None


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """The stack of one home as its owner last wrote it down."""

    home: str
    phase: Phase
    pid: int
    started_ticks: int
    broker: Literal["embedded", "kafka"]
    database_url: str
    kafka_servers: str
    http_urls: Mapping[str, str]
    parts: Mapping[str, Part]

    @property
    def owner(self) -> Identity | None:
        """The process that keeps the stack running; None when it is gone."""
        identity = Identity(self.pid, self.started_ticks)
        return identity if identity.alive else None

    @property
    def up(self) -> bool:
        """Whether the stack was brought up completely and its owner still keeps it."""
        return self.phase == "up" and self.owner is not None


class Home:
    """The directory of a stack: `state.json`, `lock`, `log/`, and the data of PostgreSQL and Kafka."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: TextIO | None = None

    @property
    def logs(self) -> Path:
        """Where each process writes its log."""
        return self.path / "log"

    @property
    def _file(self) -> Path:
        return self.path / "state.json"

    def lock(self) -> None:
        """Make this process the owner of the home until `unlock` or its end. AlreadyUpError when there is one."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("a")
        try:
            # Held by an open file, so that the kernel releases it however we end.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            state = self.read()
            by = f" (process {state.pid})" if state else ""
            raise AlreadyUpError(f"a stack is up in {self.path} already{by}; take it down first") from error
        self._lock = lock

    def unlock(self) -> None:
        """Let others take the home."""
        lock, self._lock = self._lock, None
        if lock:
            lock.close()

    def read(self) -> StackState | None:
        """What the owner last wrote; None when there is nothing that can be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=StackState)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, state: StackState) -> None:
        """Replace what is written, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        unfinished.replace(self._file)

    def forget(self) -> None:
        """Remove what is written."""
        self._file.unlink(missing_ok=True)


def default_home() -> Path:
    """`O2C_HOME`, or `.o2c` in the working directory."""
    return Path(os.environ.get("O2C_HOME") or ".o2c")
