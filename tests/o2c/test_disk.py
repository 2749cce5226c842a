"""The disk is timed for as long as a block lasts, and left as it was."""

import os
import time
from pathlib import Path

import pytest

from o2c.bench import disk


def test_every_page_that_is_kept_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(os, "fdatasync", lambda file: time.sleep(0.005))
    home = tmp_path / "home"
    with disk.watched_disk(home) as milliseconds:
        while len(milliseconds) < 5:
            time.sleep(0.001)
    assert milliseconds == sorted(milliseconds)
    assert min(milliseconds) >= 5
    assert list(home.iterdir()) == []


def test_it_ends_with_its_block_whatever_ends_that(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), disk.watched_disk(tmp_path) as milliseconds:
        raise RuntimeError("the load failed")
    before = len(milliseconds)
    time.sleep(3 * disk.PAUSE_SECONDS)
    assert (len(milliseconds), list(tmp_path.iterdir())) == (before, [])
