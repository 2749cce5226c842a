"""What the disk alone takes to keep a page, beside the load: no durable answer comes sooner than that."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = b"\0" * 8192
PAGES = 64
"""Of the file that is written to and again to, as PostgreSQL does with its journal."""
PAUSE_SECONDS = 0.05
"""Often enough to see a disk that stalls, and a fraction of what the services ask of it."""


@contextmanager
def watched_disk(directory: Path) -> Iterator[list[float]]:
    """Milliseconds of each fdatasync of one page for as long as the block lasts; in ascending order at its end."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "disk"
    milliseconds: list[float] = []
    over = threading.Event()
    thread = threading.Thread(target=_write, args=(path, milliseconds, over), name="disk")
    thread.start()
    try:
        yield milliseconds
    finally:
        over.set()
        thread.join()
        path.unlink(missing_ok=True)
        milliseconds.sort()


def _write(path: Path, milliseconds: list[float], over: threading.Event) -> None:
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        os.pwrite(file, PAGE * PAGES, 0)
        os.fsync(file)
        page = 0
        while not over.wait(PAUSE_SECONDS):
            page = (page + 1) % PAGES
            os.pwrite(file, PAGE, page * len(PAGE))
            began = time.perf_counter()
            os.fdatasync(file)
            milliseconds.append(1000 * (time.perf_counter() - began))
    finally:
        os.close(file)
