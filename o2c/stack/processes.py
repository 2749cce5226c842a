"""Child processes of the stack: started in a session of their own, awaited until ready, and never left behind."""

import asyncio
import ctypes
import os
import random
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from o2c.stack.errors import StackError
from o2c.stack.ports import is_free

LOG_BYTES_MAX = 10_000_000  # a longer log is set aside as .1 at the next start
_TAIL_BYTES = 4_000
_TAIL_LINES = 15
_POLL_SECONDS = 0.02
_KILLED_SECONDS_MAX = 10.0  # the kernel has to tear down large address spaces
_PR_SET_PDEATHSIG = 1
_AUTOGROUP_ATTEMPTS_MAX = 40

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """An operating system account that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """How a child is started. `environment` is all it sees; `account` None: as ourselves.

    `niceness`: by how much it stands back where CPU is short, 0 to 19.
    """

    argv: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    directory: Path | None = None
    account: Account | None = None
    stop_signal: Signals = signal.SIGTERM
    orphan_signal: Signals = signal.SIGTERM
    niceness: int = 0


@dataclass(frozen=True)
class Identity:
    """Which process it is: a pid alone may have been given to another since."""

    pid: int
    started_ticks: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return started_ticks(self.pid) == self.started_ticks


def started_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none, or only its exit status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold spaces and brackets itself; what follows the last one does not.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def identity_of(pid: int) -> Identity | None:
    """The identity of a running process."""
    ticks = started_ticks(pid)
    return None if ticks is None else Identity(pid, ticks)


async def end_process(identity: Identity, grace_seconds: float, first: Signals = signal.SIGTERM) -> None:
    """End a process that may not be our child: `first`, then after the grace period SIGKILL."""
    for sent, seconds in ((first, grace_seconds), (signal.SIGKILL, _KILLED_SECONDS_MAX)):
        if not identity.alive:
            return
        try:
            os.kill(identity.pid, sent)
        except ProcessLookupError:
            return
        until = time.monotonic() + seconds
        while identity.alive and time.monotonic() < until:  # noqa: ASYNC110 - not our child, nobody tells us
            await asyncio.sleep(_POLL_SECONDS)
    if identity.alive:
        raise StackError(f"process {identity.pid} does not end, not even by SIGKILL")


def log_tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-_TAIL_LINES:]) or "(the log is empty)"


def _dies_with(parent: int, orphan_signal: Signals) -> Callable[[], None]:
    """For the child, before exec: let the kernel signal it when the thread that started it ends."""

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return arrange


async def stand_back(pid: int, niceness: int) -> bool:
    """Let others go first where CPU is short; whether the kernel took it. A child that has just been started only.

    Where Linux shares CPU between sessions first (autogroups), what counts is the session's niceness, and whoever is
    not root may set one every 100 ms, on the whole machine.
    """
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(_AUTOGROUP_ATTEMPTS_MAX):
        try:
            os.setpriority(os.PRIO_PROCESS, pid, own + niceness)
            _set_group(Path(f"/proc/{pid}/autogroup"), niceness)
        except BlockingIOError:
            await asyncio.sleep(random.uniform(0.05, 0.25))
        except OSError:
            return False
        else:
            return True
    return False


def _set_group(group: Path, niceness: int) -> None:
    if group.exists():
        group.write_text(str(niceness))


class Process:
    """One running child. Start it from a thread that lives as long as the child shall (the main thread)."""

    def __init__(self, popen: "subprocess.Popen[bytes]", launch: Launch) -> None:
        self._popen = popen
        self.launch = launch
        self.identity = identity_of(popen.pid) or Identity(popen.pid, 0)

    @classmethod
    def start(cls, launch: Launch) -> "Process":
        """Start it; its output is appended to its log. StackError when there is no such program."""
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        _set_aside(launch.log)
        account = launch.account
        with launch.log.open("ab") as log:
            try:
                popen = subprocess.Popen(
                    launch.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(launch.environment),
                    cwd=launch.directory,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                    start_new_session=True,
                    preexec_fn=_dies_with(os.getpid(), launch.orphan_signal),
                )
            except OSError as error:
                raise StackError(f"cannot start {launch.argv[0]}: {error}") from error
        return cls(popen, launch)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        return self._popen.poll()

    async def wait(self) -> int:
        """Its exit status once it has ended, for whatever reason."""
        while (status := self._popen.poll()) is None:
            await _until_ended(self._popen.pid)
        return status

    async def stop(self, grace_seconds: float) -> int:
        """Ask it to end; after the grace period kill it and what it started."""
        if not self.running:
            return await self.wait()
        self._popen.send_signal(self.launch.stop_signal)
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """SIGKILL for it and its group; returns when the kernel has taken it down."""
        if self.running:
            os.killpg(self._popen.pid, signal.SIGKILL)
        return await asyncio.wait_for(self.wait(), _KILLED_SECONDS_MAX)


async def _until_ended(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # a kernel before 5.3
        await asyncio.sleep(_POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".1"))


@dataclass
class Server(ABC):
    """A child that others depend on: started means ready. Subclasses say how to prepare, launch and ask it.

    `niceness`: as in `Launch`.
    """

    name: str
    log: Path
    port: int
    start_seconds_max: float = 60.0
    stop_seconds_max: float = 30.0
    spawned: Callable[[], None] = lambda: None  # told as soon as there is a process, long before it is ready
    niceness: int = field(default=0, kw_only=True)
    started_seconds: float = field(default=0.0, init=False)
    _process: Process | None = field(default=None, init=False)

    async def prepare(self) -> None:  # noqa: B027 - most need nothing
        """What must be there before each start."""

    @abstractmethod
    def launch(self) -> Launch:
        """How it is started."""

    @abstractmethod
    async def ready(self) -> bool:
        """Whether it does its work now; asked again and again until it does."""

    @property
    def identity(self) -> Identity | None:
        """Of the running process; None when it does not run."""
        return self._process.identity if self._process and self._process.running else None

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.identity is not None

    async def start(self) -> None:
        """Start it and wait until it is ready. StackError, with the end of its log, if it ends or takes too long."""
        if self.running:
            raise StackError(f"{self.name} is running already")
        begun = time.monotonic()
        await self.prepare()
        if not is_free(self.port):
            # Said before it is tried: whoever listens there might answer in its place and make it look ready.
            raise StackError(f"{self.name} cannot start: another program uses port {self.port}")
        launch = self.launch()
        self._process = Process.start(launch)
        self.spawned()
        try:
            if launch.niceness:
                await stand_back(self._process.identity.pid, launch.niceness)
            await self._until_ready(self._process, begun + self.start_seconds_max)
        except BaseException:
            await self._process.kill()
            raise
        self.started_seconds = time.monotonic() - begun

    async def wait(self) -> int:
        """Its exit status once it has ended, for whatever reason."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> None:
        """End it cleanly; killed when that takes longer than `stop_seconds_max`. Nothing if it does not run."""
        if self._process:
            await self._process.stop(self.stop_seconds_max)

    async def kill(self) -> None:
        """End it as a power failure would."""
        if self._process:
            await self._process.kill()

    async def restart(self) -> None:
        """Stop and start, on the same port."""
        await self.stop()
        await self.start()

    async def _until_ready(self, process: Process, until: float) -> None:
        while True:
            if not process.running:
                raise StackError(f"{self.name} ended with status {process.exit_status}:\n{log_tail(self.log)}")
            if await self.ready():
                return
            if time.monotonic() > until:
                seconds = f"{self.start_seconds_max:g}"
                raise StackError(f"{self.name} is not ready after {seconds} s:\n{log_tail(self.log)}")
            await asyncio.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Backoff:
    """How a server that ended by itself is started again; after `attempts_max` failures in a row it is given up."""

    first_seconds: float = 0.2
    longest_seconds: float = 10.0
    attempts_max: int = 20
    healthy_seconds: float = 30.0  # one that ran this long counts as recovered

    def pause(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))


class Keeper:
    """Keeps one server running: starts it again, with back-off, whenever it ends without being asked to."""

    def __init__(self, server: Server, backoff: Backoff, changed: Callable[[], None]) -> None:
        self.server = server
        self.restarts = 0
        self.problem = ""
        self.given_up = False
        self._backoff = backoff
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """From now on start the server again when it ends."""
        self.problem, self.given_up = "", False
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.server.name}")

    async def release(self) -> None:
        """No longer start it again; the server itself stays as it is."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        while failures < self._backoff.attempts_max:
            begun = time.monotonic()
            status = await self.server.wait()
            self.problem = self.problem or f"{self.server.name} ended with status {status}"
            self._changed()
            failures = 1 if time.monotonic() - begun > self._backoff.healthy_seconds else failures + 1
            await asyncio.sleep(self._backoff.pause(failures))
            await self._start_again()
        self.given_up = True
        self._changed()

    async def _start_again(self) -> None:
        try:
            await self.server.start()
        except StackError as error:
            self.problem = error.message
        else:
            self.problem = ""
            self.restarts += 1
        self._changed()
