"""Processes that stand still for a while: frozen by a signal, and woken even if whoever froze them is killed."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_GUARD = ("sh", "-c", 'cat; kill -CONT "$@"', "sh")
"""Its input ends with us, however we end. Who is frozen would not even hear that it shall end."""
_GUARD_SECONDS_MAX = 10


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """These processes do nothing for the length of a block, but for those that are woken in it."""
    guard = subprocess.Popen(
        (*_GUARD, *map(str, pids)), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        freeze(pids)
        yield
    finally:
        guard.communicate(timeout=_GUARD_SECONDS_MAX)


def freeze(pids: Iterable[int]) -> None:
    """Let these processes do nothing until they are woken."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def wake(pids: Iterable[int]) -> None:
    """Let these processes go on."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
