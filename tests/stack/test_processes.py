"""Children: their identity, their logs, how they end, and the pauses before they are started again."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2c.stack import processes
from o2c.stack.errors import StackError
from o2c.stack.ports import free_port
from o2c.stack.processes import Backoff, Identity, Keeper, Launch, Process, Server, end_process, identity_of, log_tail
from tests.support.waiting import until

_SLEEPING = "import time; time.sleep(60)"


def _launch(tmp_path: Path, code: str) -> Launch:
    return Launch(argv=(sys.executable, "-c", code), log=tmp_path / "child.log", environment={"MARK": "here"})


@dataclass
class Script(Server):
    """A server that is ready at once."""

    code: str = field(default="", kw_only=True)
    niceness: int = field(default=0, kw_only=True)

    def launch(self) -> Launch:
        argv = (sys.executable, "-c", self.code)
        return Launch(argv=argv, log=self.log, environment={}, niceness=self.niceness)

    async def ready(self) -> bool:
        return True


async def test_a_child_writes_to_its_log_and_sees_its_environment_only(tmp_path: Path) -> None:
    process = Process.start(_launch(tmp_path, "import os; print(sorted(os.environ))"))
    assert await process.wait() == 0
    assert "MARK" in log_tail(tmp_path / "child.log")
    assert "HOME" not in log_tail(tmp_path / "child.log")


async def test_a_child_leads_a_session_of_its_own(tmp_path: Path) -> None:
    process = Process.start(_launch(tmp_path, "import time; time.sleep(60)"))
    assert os.getsid(process.identity.pid) == process.identity.pid != os.getsid(0)
    assert await process.kill() == -signal.SIGKILL


async def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    launch = Launch(argv=(str(tmp_path / "missing"),), log=tmp_path / "child.log", environment={})
    with pytest.raises(StackError, match="missing"):
        Process.start(launch)


async def test_a_child_that_ends_by_the_signal_is_not_killed(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('on', flush=True); time.sleep(60)"
    )
    process = Process.start(_launch(tmp_path, code))
    await until(lambda: "on" in log_tail(tmp_path / "child.log"))
    assert await process.stop(10) == 7
    assert await process.stop(10) == 7


async def test_killing_takes_the_whole_group(tmp_path: Path) -> None:
    launch = Launch(argv=("/bin/sh", "-c", "sleep 60 & echo $!; wait"), log=tmp_path / "child.log", environment={})
    process = Process.start(launch)
    await until(lambda: log_tail(launch.log).strip().isdigit())
    grandchild = identity_of(int(log_tail(launch.log)))
    assert grandchild is not None
    await process.kill()
    await until(lambda: not grandchild.alive)


async def test_a_child_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from o2c.stack.processes import Launch, Process;"
        f"log = pathlib.Path({str(tmp_path / 'inner.log')!r});"
        "p = Process.start(Launch(argv=('/bin/sleep', '60'), log=log, environment={}));"
        "print(p.identity.pid, flush=True); time.sleep(60)"
    )
    environment = {"PYTHONPATH": os.getcwd()}
    owner = Process.start(Launch((sys.executable, "-c", code), tmp_path / "owner.log", environment))
    await until(lambda: log_tail(tmp_path / "owner.log").strip().isdigit())
    child = identity_of(int(log_tail(tmp_path / "owner.log")))
    assert child is not None
    os.kill(owner.identity.pid, signal.SIGKILL)
    await owner.wait()
    await until(lambda: not child.alive)


async def test_a_foreign_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    process = Process.start(_launch(tmp_path, code))
    await until(lambda: "deaf" in log_tail(tmp_path / "child.log"))
    await end_process(process.identity, 0.1)
    assert await process.wait() == -signal.SIGKILL


async def test_a_pid_that_was_given_away_again_is_left_alone() -> None:
    ours = identity_of(os.getpid())
    assert ours is not None
    assert ours.alive
    reused = Identity(os.getpid(), ours.started_ticks - 1)
    assert not reused.alive
    await end_process(reused, 0.1)


def test_the_tail_of_a_log_is_short_and_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)) + b"\xff\n")
    lines = log_tail(log).split("\n")
    assert lines[-2:] == ["line 9999", "\ufffd"]
    assert len(lines) == 15
    assert log_tail(tmp_path / "missing") == "(no log)"


async def test_a_log_that_is_too_long_is_set_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 10)
    (tmp_path / "child.log").write_text("x" * 11)
    await Process.start(_launch(tmp_path, "print('new')")).wait()
    assert (tmp_path / "child.log").read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "x" * 11


@given(st.integers(1, 10_000), st.floats(0.01, 5), st.floats(5, 100))
def test_pauses_grow_and_have_an_end(failures: int, first: float, longest: float) -> None:
    backoff = Backoff(first_seconds=first, longest_seconds=longest)
    assert first <= backoff.pause(failures) <= backoff.pause(failures + 1) <= longest
    assert backoff.pause(1) == first
    assert backoff.pause(2) == min(2 * first, longest)


async def test_a_server_that_always_ends_is_given_up_after_so_many_attempts(tmp_path: Path) -> None:
    server = Script("script", tmp_path / "child.log", free_port(), code="print('again')")
    keeper = Keeper(server, Backoff(first_seconds=0.01, longest_seconds=0.01, attempts_max=3), lambda: None)
    await server.start()
    keeper.watch()
    await until(lambda: keeper.given_up)
    await server.wait()
    assert (tmp_path / "child.log").read_text().count("again") == 1 + 3
    await keeper.release()


async def test_a_released_server_stays_down(tmp_path: Path) -> None:
    server = Script("script", tmp_path / "child.log", free_port(), code="import time; time.sleep(60)")
    keeper = Keeper(server, Backoff(first_seconds=0.01), lambda: None)
    await server.start()
    with pytest.raises(StackError, match="running already"):
        await server.start()
    keeper.watch()
    await keeper.release()
    await server.kill()
    await asyncio.sleep(0.1)
    assert not server.running
    assert keeper.restarts == 0


def _nice_of_group(pid: int) -> int | None:
    group = Path(f"/proc/{pid}/autogroup")
    return int(group.read_text().split()[-1]) if group.exists() else None


@pytest.mark.parametrize("niceness", [0, 7])
async def test_a_server_stands_back_where_it_is_told_to(tmp_path: Path, niceness: int) -> None:
    server = Script("script", tmp_path / "child.log", free_port(), code=_SLEEPING, niceness=niceness)
    await server.start()
    try:
        pid = server.identity.pid if server.identity else 0
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + niceness
        assert _nice_of_group(pid) in (None, niceness)
    finally:
        await server.kill()


async def test_where_the_kernel_takes_one_at_a_time_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([True, True, False])
    write = Path.write_text

    def writing(path: Path, text: str) -> int:
        if path.name == "autogroup" and next(refusals):
            raise BlockingIOError
        return write(path, text)

    process = Process.start(_launch(tmp_path, _SLEEPING))
    try:
        if _nice_of_group(process.identity.pid) is not None:
            monkeypatch.setattr(Path, "write_text", writing)
            assert await processes.stand_back(process.identity.pid, 3)
            assert list(refusals) == []
        assert not await processes.stand_back(2**22 + 1, 3)
    finally:
        await process.kill()
