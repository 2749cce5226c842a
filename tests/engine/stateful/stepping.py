"""Drives coroutines step by step, so that a crash can be put at every single place where they wait.

A coroutine runs until it really waits for something; each such stop is counted. At the chosen one the process is
killed, the task cancelled or the connections cut. Which `await` of the source it stood at is read off its frames, so
a test can show that no `await` of the engine was left out.
"""

import ast
import asyncio
import linecache
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CoroutineType, ModuleType
from typing import Any

from shared.eventsourced import deciding, store, unit_of_work

STEPS_SECONDS_MAX = 20.0

AwaitPoint = tuple[str, int, str]
"""(file name, line, "await", "enter" or "exit"): the last two for `async with`."""


@dataclass(frozen=True)
class Crash:
    """What happens at the `at`-th stop (0, 1, 2 …).

    kill: the process is gone: its connections break and nothing of it can reach the store any more.
    cancel: the task is cancelled, the process lives on. cut, end: every connection breaks (on this side, or because
    the server ends it), and the process lives on. `late`: just after the answer has come, instead of just before.
    """

    at: int
    kind: str
    late: bool = False


@dataclass
class Steps:
    """Runs the tasks of one process and counts where they stop. `strike` breaks connections; it may take its time."""

    strike: Callable[[str], Coroutine[Any, Any, None]]
    crash: Crash | None = None
    between: Callable[[set[AwaitPoint]], Coroutine[Any, Any, None] | None] | None = None
    stops: int = 0
    struck: bool = False
    killed: bool = False
    points: set[AwaitPoint] = field(default_factory=set)
    _works: Sequence[Coroutine[Any, Any, Any]] = ()
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def start(self, *works: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
        """Set the coroutines of one process going."""
        self._works = works
        self._tasks = [asyncio.create_task(_run(_Stepped(work, self))) for work in works]
        return self._tasks

    async def results(self) -> list[Any]:
        """What each coroutine returned or raised, once all have ended."""
        async with asyncio.timeout(STEPS_SECONDS_MAX):
            pending: set[asyncio.Task[Any]] = set(self._tasks)
            while pending:
                _, pending = await asyncio.wait(pending, timeout=0.005 if self.crash is not None else None)
                if self.killed:
                    self.end()  # a dead process does not go on, not even where its broken connection hides the end
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for work in self._works:
            work.close()  # one that was cancelled before it began would complain
        return results

    async def run(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Start them and wait for them."""
        self.start(*works)
        return await self.results()

    def end(self) -> None:
        """Cancel every task."""
        for task in self._tasks:
            task.cancel()

    def stop_at(self, work: Any) -> Crash | None:
        """Count one stop of a coroutine; the crash that is due at it."""
        number, self.stops = self.stops, self.stops + 1
        if self.struck or self.crash is None or number != self.crash.at:
            return None
        self.points |= waiting_at(work)
        self.struck = True
        return self.crash

    def pause(self, points: set[AwaitPoint]) -> Generator[Any, Any, None]:
        """What others do when a coroutine that stood there has its answer and has not gone on yet."""
        if self.between is not None and (interlude := self.between(points)) is not None:
            yield from interlude.__await__()

    def happen(self, crash: Crash) -> Generator[Any, Any, bool]:
        """Let it happen; True when the coroutine that stands there shall see a cancellation."""
        if crash.kind != "cancel":
            yield from self.strike(crash.kind).__await__()
        if crash.kind == "kill":
            for task in self._tasks:
                if task is not asyncio.current_task():
                    task.cancel()
            self.killed = True
        return crash.kind in ("kill", "cancel")


async def _run(stepped: "_Stepped") -> Any:
    return await stepped


class _Stepped(Awaitable[Any]):
    """One coroutine under `Steps`."""

    def __init__(self, work: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._work, self._steps = work, steps

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                waited = self._work.throw(error) if error is not None else self._work.send(None)
            except StopIteration as done:
                return done.value
            error = None
            points = waiting_at(self._work) if self._steps.between is not None else set()
            blocking = getattr(waited, "_asyncio_future_blocking", None)
            try:
                crash = self._steps.stop_at(self._work)
                if crash is not None and not crash.late:
                    if (yield from self._quietly(waited, self._steps.happen(crash))):
                        asyncio.current_task().cancel()  # type: ignore[union-attr]
                    if blocking:
                        waited._asyncio_future_blocking = True
                yield waited
                yield from self._steps.pause(points)
                if crash is not None and crash.late and (yield from self._steps.happen(crash)):
                    error = asyncio.CancelledError()
            except BaseException as raised:  # whatever comes from outside is for the coroutine to see
                error = raised

    @staticmethod
    def _quietly(waited: Any, side: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Do something else while the coroutine stands still."""
        if hasattr(waited, "_asyncio_future_blocking"):
            waited._asyncio_future_blocking = False
        return (yield from side)


# ---- which `await` of the source that was


def waiting_at(work: Any) -> set[AwaitPoint]:
    """Every `await` of watched modules that this suspended coroutine stands at, from the outermost inwards."""
    found: set[AwaitPoint] = set()
    while isinstance(work, CoroutineType) and work.cr_frame is not None:
        inner = work.cr_await
        name = getattr(getattr(inner, "cr_code", None), "co_name", "")
        kind = {"__aenter__": "enter", "__aexit__": "exit"}.get(name, "await")
        path = work.cr_code.co_filename
        if "/shared/eventsourced/" in path:
            line = _statement(path, kind, work.cr_frame.f_lineno)
            if line is not None:
                found.add((Path(path).name, line, kind))
        work = inner
    return found


def loads(points: set[AwaitPoint]) -> bool:
    """Whether the streams of a batch are just being read, not under the lock; then it is decided and written."""
    sources = {Path(str(module.__file__)).name: str(module.__file__) for module in (store, deciding, unit_of_work)}
    lines = "".join(linecache.getline(sources[name], line) for name, line, _ in points if name in sources)
    return "_numbering(self._numbers)" in lines and "load(connection, wanted)" in lines and "_FACTS_BEHIND" in lines


def _statement(path: str, kind: str, line: int) -> int | None:
    """The line where the innermost `await` (or `async with`) around this line begins."""
    around = [point for point in _awaits(path) if point[2] == kind and point[0] <= line <= point[1]]
    return max(around)[0] if around else None


def all_awaits(module: ModuleType, *, but_in: Sequence[str] = ()) -> set[AwaitPoint]:
    """Every place in a module's source where its coroutines may wait. `but_in`: functions to leave out."""
    path = str(module.__file__)
    return {(Path(path).name, first, kind) for first, _, kind, function in _awaits(path) if function not in but_in}


@cache
def _awaits(path: str) -> list[tuple[int, int, str, str]]:
    """(first line, last line, kind, function) of every await."""
    return list(_awaits_in(ast.parse(Path(path).read_text()), ""))


def _awaits_in(node: ast.AST, function: str) -> Iterator[tuple[int, int, str, str]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.AsyncFunctionDef(name=name):
                yield from _awaits_in(child, name)
                continue
            case ast.Await(lineno=first, end_lineno=last):
                yield first, last or first, "await", function
            case ast.AsyncFor(lineno=first):
                yield first, first, "await", function
            case ast.AsyncWith(items=items, lineno=first):
                for item in items:
                    if ast.unparse(item.context_expr).startswith("asyncio.timeout"):
                        continue  # waits for nothing itself
                    yield first, item.context_expr.end_lineno or first, "enter", function
                    yield first, item.context_expr.end_lineno or first, "exit", function
        yield from _awaits_in(child, function)
