"""Directories for stacks in tests, which the account that PostgreSQL runs as can reach (pytest's own it cannot)."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from o2c.stack import Stack


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home that is gone afterwards, data outside of it included."""
    home = Path(tempfile.mkdtemp(prefix="o2c-test-"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        Stack.wipe(home)
        shutil.rmtree(home)
