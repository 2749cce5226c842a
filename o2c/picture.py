"""A picture of a page of ours, taken by the Chromium that is installed, if one is."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS_MAX = 30.0
LOAD_MS_MAX = 10_000
HEIGHT = 2_000
"""Chromium takes a picture of its window, not of the page: this is what the overview needs at this width."""


def chromium() -> str | None:
    """The path of a Chromium: the one that O2C_CHROMIUM names, or one on the path; None when there is none."""
    named = os.environ.get("O2C_CHROMIUM")
    return named or next((path for name in CHROMIUMS if (path := shutil.which(name))), None)


def take_picture(url: str, file: Path, width: int = 1280) -> bool:
    """Write a PNG of a page's upper HEIGHT pixels; whether there is one now. It is a courtesy, never an error."""
    browser = chromium()
    if browser is None:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += [f"--user-data-dir={profile}", f"--window-size={width},{HEIGHT}", f"--timeout={LOAD_MS_MAX}"]
        # Chromium refuses to be sandboxed for root; what it is shown here is our own page.
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        command += [f"--screenshot={file.absolute()}", url]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return file.exists()
