"""The whole system on one machine: PostgreSQL, a broker and the services, brought up, kept running and taken down."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from o2c.stack.brokers import Broker
from o2c.stack.errors import StackError
from o2c.stack.kafka import Kafka
from o2c.stack.ports import LOOPBACK, SERVICES, fixed_ports, free_port, is_free
from o2c.stack.postgres import Postgres, data_directory, remove_data, unprivileged_account
from o2c.stack.processes import Backoff, Keeper, Server, end_process, identity_of, log_tail
from o2c.stack.service_process import ServiceProcess
from o2c.stack.state import Home, Part, Phase, StackState, default_home
from o2c.stack.tansu import Tansu
from shared.settings import Settings

Progress = Callable[[str, float], None]
"""Told the name of each part when it is ready, with the seconds that took."""

BEHIND = 10
NICENESS = {"order": 0, "analytics": 7}
"""Where CPU is short, the service that takes orders comes first: its callers wait for an answer, and its listeners'
work waits in Kafka. The others and the broker are `BEHIND`. At the same niceness all would get the same share, but
analytics hears what everybody says and has half as much again to do as any of them: it alone would fall behind. At 7
it may have nearly twice as much as they."""

_DOWN_SECONDS_MAX = 90.0  # services 20 s, then broker and database
_LEFTOVER_GRACE_SECONDS = 10.0
_DETACHED_SECONDS_MAX = 900.0  # the first start with Apache Kafka fetches its jars
_POLL_SECONDS = 0.05


def service_command(name: str) -> tuple[str, ...]:
    """How a service is run from this environment."""
    return (sys.executable, "-m", "o2c", "run", name)


@dataclass(frozen=True)
class StackOptions:
    """What to bring up. `port_base` None: free ports; `environment` is added to that of every service."""

    home: Path = field(default_factory=default_home)
    broker: Literal["embedded", "kafka"] = "embedded"
    port_base: int | None = None
    services: tuple[str, ...] = SERVICES
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Callable[[str], tuple[str, ...]] = service_command
    service_seconds_max: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)


class Stack:
    """A running stack, owned by this process: it ends with it, whatever happens.

    In one process: `async with await Stack.up(options) as stack`. From any other: `Stack.state(home)` and
    `Stack.down(home)`; `Stack.detach(options)` makes a process of its own the owner.
    """

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self._home = Home(options.home)
        ports = _ports(options)
        self.postgres = Postgres(
            "postgres", self._log("postgres"), ports["postgres"], home=self._home.path, spawned=self._write
        )
        self.broker = _broker(options, self._home, ports, self._write)
        self._urls = {name: f"http://{LOOPBACK}:{ports[name]}" for name in options.services}
        self.services = {name: self._service(name, ports[name]) for name in options.services}
        self._servers: dict[str, Server] = {"postgres": self.postgres, "broker": self.broker, **self.services}
        self._keepers = {name: Keeper(server, options.backoff, self._write) for name, server in self._servers.items()}
        self._phase: Phase = "down"

    # ---- from the process that owns it

    @classmethod
    async def up(cls, options: StackOptions, progress: Progress = lambda name, seconds: None) -> "Stack":
        """Bring everything up; returns when all of it is ready. What had been started is down again if that fails.

        AlreadyUpError when the home is taken; StackError, with the end of the log, for a part that does not start.
        """
        stack = cls(options)
        stack._home.lock()
        try:
            await stack._bring_up(progress)
        except BaseException:
            await stack.close()
            raise
        return stack

    async def close(self) -> None:
        """Take everything down cleanly: services first, together, then broker and database. Data stays."""
        self._enter("stopping")
        await _together(keeper.release() for keeper in self._keepers.values())
        try:
            await _together(server.stop() for server in self.services.values())
            await _together((self.postgres.stop(), self.broker.stop()))
        finally:
            self._enter("down")
            self._home.unlock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def database_url(self) -> str:
        """Address of the PostgreSQL server, as in `O2C_DATABASE_URL`."""
        return self.postgres.url

    @property
    def kafka_servers(self) -> str:
        """Bootstrap servers, as in `O2C_KAFKA_SERVERS`."""
        return self.broker.servers

    def http_url(self, service: str) -> str:
        """The HTTP address of a service."""
        return self.services[service].url

    async def stop(self, name: str) -> None:
        """End one part cleanly, and keep it down until `start`. Names: postgres, broker, or a service."""
        await self._keepers[name].release()
        await self._servers[name].stop()
        self._write()

    async def start(self, name: str) -> None:
        """Start one part that was stopped or killed and wait until it is ready."""
        await self._keepers[name].release()
        await self._servers[name].start()
        self._keepers[name].watch()
        self._write()

    async def kill(self, name: str, *, restart: bool = True) -> None:
        """SIGKILL one part. It comes back by itself, unless `restart` is False: then by `start`."""
        if not restart:
            await self._keepers[name].release()
        await self._servers[name].kill()
        self._write()

    def snapshot(self) -> StackState:
        """What is written to the home's state file."""
        own = identity_of(os.getpid())
        return StackState(
            home=str(self._home.path),
            phase=self._phase,
            pid=os.getpid(),
            started_ticks=own.started_ticks if own else 0,
            broker=self.options.broker,
            database_url=self.database_url,
            kafka_servers=self.kafka_servers,
            http_urls={name: service.url for name, service in self.services.items()},
            parts={name: self._part(name) for name in self._servers},
        )

    # ---- from any process

    @staticmethod
    def state(home: Path | None = None) -> StackState | None:
        """What is known about the stack of a home; None when there never was one. See `StackState.up`."""
        state = Home(home or default_home()).read()
        return state if state is None or state.owner else msgspec.structs.replace(state, phase="down")

    @staticmethod
    async def down(home: Path | None = None, seconds_max: float = _DOWN_SECONDS_MAX) -> bool:
        """Take down the stack of a home, whoever owns it, and what a killed owner left. False: nothing was up."""
        place = Home(home or default_home())
        state = place.read()
        if state is None:
            return False
        owner = state.owner
        if owner:
            await end_process(owner, seconds_max)
        left = await _end_leftovers(place.read() or state)
        return owner is not None or left

    @staticmethod
    def wipe(home: Path | None = None) -> None:
        """Remove all data, logs and state of a home. AlreadyUpError while its stack is up."""
        place = Home(home or default_home())
        place.lock()
        try:
            remove_data(data_directory(place.path, unprivileged_account()))
            for name in ("kafka", "log"):
                shutil.rmtree(place.path / name, ignore_errors=True)
            place.forget()
        finally:
            place.unlock()

    @staticmethod
    async def detach(options: StackOptions) -> StackState:
        """Bring the stack up under a process of its own that outlives us; returns when all of it is ready.

        That process runs the standard commands: `options.command` is not passed on.
        """
        home = Home(options.home)
        log = home.logs / "stack.log"
        owner = _start_owner(options, log)
        until = time.monotonic() + _DETACHED_SECONDS_MAX
        while owner.poll() is None and time.monotonic() < until:
            state = home.read()
            if state and state.pid == owner.pid and state.up:
                return state
            await asyncio.sleep(_POLL_SECONDS)
        if owner.poll() is None:
            owner.send_signal(signal.SIGTERM)
        raise StackError(f"the stack did not come up:\n{log_tail(log)}")

    # ---- inside

    def _log(self, name: str) -> Path:
        return self._home.logs / f"{name}.log"

    def _service(self, name: str, port: int) -> ServiceProcess:
        addresses = {
            "O2C_DATABASE_URL": self.database_url,
            "O2C_KAFKA_SERVERS": self.kafka_servers,
            "O2C_SERVICE_URLS": ",".join(f"{other}={url}" for other, url in self._urls.items()),
        }
        return ServiceProcess(
            name,
            self._log(name),
            port,
            argv=self.options.command(name),
            environment={**addresses, **self.broker.advice, **self.options.environment},
            niceness=NICENESS.get(name, BEHIND),
            start_seconds_max=self.options.service_seconds_max,
            spawned=self._write,
        )

    async def _bring_up(self, progress: Progress) -> None:
        earlier = self._home.read()
        if earlier:
            await _end_leftovers(earlier)
        _check_free(self._servers.values())
        self._enter("starting")
        await _together((self._begin("postgres", progress), self._begin("broker", progress)))
        databases = _databases(self.options)
        await self.postgres.create_databases(databases.values())
        if "analytics" in databases:
            await self.postgres.create_analyst(databases["analytics"])
        await _together(self._begin(name, progress) for name in self.services)
        for keeper in self._keepers.values():
            keeper.watch()
        self._enter("up")

    async def _begin(self, name: str, progress: Progress) -> None:
        server = self._servers[name]
        await server.start()
        progress(name, server.started_seconds)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._write()

    def _write(self) -> None:
        self._home.write(self.snapshot())

    def _part(self, name: str) -> Part:
        server, keeper = self._servers[name], self._keepers[name]
        identity = server.identity
        return Part(
            port=server.port,
            log=str(server.log),
            pid=identity.pid if identity else None,
            started_ticks=identity.started_ticks if identity else None,
            status="running" if identity else "failed" if keeper.problem else "stopped",
            restarts=keeper.restarts,
            problem=keeper.problem,
        )


def _ports(options: StackOptions) -> dict[str, int]:
    names = ("postgres", "broker", "controller", *options.services)
    if options.port_base is None:
        return {name: free_port() for name in names}
    fixed = fixed_ports(options.port_base)
    unknown = [name for name in names if name not in fixed]
    if unknown:
        raise StackError(f"no fixed port for {', '.join(unknown)}; the services are {', '.join(SERVICES)}")
    return fixed


def _broker(options: StackOptions, home: Home, ports: Mapping[str, int], spawned: Callable[[], None]) -> Broker:
    log, port = home.logs / "broker.log", ports["broker"]
    match options.broker:
        case "embedded":
            return Tansu("broker", log, port, spawned=spawned, niceness=BEHIND)
        case "kafka":
            controller = ports["controller"]
            return Kafka(
                "broker", log, port, home=home.path, controller_port=controller, spawned=spawned, niceness=BEHIND
            )


def _check_free(servers: Iterable[Server]) -> None:
    taken = [f"{server.port} ({server.name})" for server in servers if not is_free(server.port)]
    if taken:
        raise StackError(f"other programs use the ports {', '.join(taken)}; choose another port base")


def _databases(options: StackOptions) -> dict[str, str]:
    """Service → the name of its database, as the service itself will ask for it."""
    own: dict[str, Any] = {
        name: value
        for name, value in ((key.removeprefix("O2C_").lower(), value) for key, value in options.environment.items())
        if name in Settings.model_fields
    }
    settings = Settings(**own)
    return {name: settings.database_of(name).rpartition("/")[2] for name in options.services}


async def _end_leftovers(state: StackState) -> bool:
    """End what a killed owner left running. Whether there was anything."""
    left = [(name, identity) for name, part in state.parts.items() if (identity := part.identity)]
    await _together(
        end_process(identity, _LEFTOVER_GRACE_SECONDS, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for name, identity in left
    )
    return bool(left)


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once, each to its end; then raise the first error there was."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _start_owner(options: StackOptions, log: Path) -> "subprocess.Popen[bytes]":
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            _detached_command(options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **options.environment},
            start_new_session=True,
        )


def _detached_command(options: StackOptions) -> list[str]:
    command = [sys.executable, "-m", "o2c.stack", "--home", str(options.home.absolute()), "--broker", options.broker]
    command += ["--services", ",".join(options.services), "--service-seconds-max", str(options.service_seconds_max)]
    return command + (["--port-base", str(options.port_base)] if options.port_base is not None else [])
