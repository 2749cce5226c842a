"""Directories for stacks in tests, which the account that PostgreSQL runs as can reach (pytest's own it cannot)."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from o2c.stack import Stack

LINES_MAX = 40
_homes: list[Path] = []


class _Line(msgspec.Struct):
    level: str
    timestamp: str


def complaints(since: str) -> str:
    """What the processes in all homes warned of since an instant (ISO 8601, UTC): the last lines of each log.

    A home is gone when its test ends, and with it what a failure came from.
    """
    found: list[str] = []
    for log in sorted(log for home in _homes for log in home.glob("log/*.log")):
        lines = [line for line in log.read_text(errors="replace").splitlines() if _complains(line, since)]
        if lines:
            found += [f"-- {log.name}: {len(lines)} lines", *lines[-LINES_MAX:]]
    return "\n".join(found)


def _complains(line: str, since: str) -> bool:
    with suppress(msgspec.MsgspecError):
        known = msgspec.json.decode(line, type=_Line)
        return known.level not in ("info", "debug") and known.timestamp >= since
    return False


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home that is gone afterwards, data outside of it included."""
    home = Path(tempfile.mkdtemp(prefix="o2c-test-"))
    home.chmod(0o755)
    _homes.append(home)
    try:
        yield home
    finally:
        _homes.remove(home)
        Stack.wipe(home)
        shutil.rmtree(home)
