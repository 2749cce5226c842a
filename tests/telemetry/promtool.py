"""Prometheus' own judge of rules, promtool: the one on the path, or the one of Debian's package `prometheus`."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

DOWNLOAD_SECONDS_MAX = 120


class NoPromtoolError(Exception):
    """It cannot be had here; the text says why."""


@cache
def promtool() -> str:
    """Its path. Debian's package is unpacked once into the cache (`$O2C_CACHE`, default `~/.cache/o2c`)."""
    found = shutil.which("promtool")
    if found:
        return found
    kept = Path(os.environ.get("O2C_CACHE", Path.home() / ".cache" / "o2c")) / "promtool"
    program = kept / "usr" / "bin" / "promtool"
    if not program.exists():
        _unpack(kept)
    return str(program)


def _unpack(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NoPromtoolError("promtool is not on the path, and this is no Debian")
    folder.mkdir(parents=True, exist_ok=True)
    fetch = ("apt-get", "download", "-o", "APT::Sandbox::User=root", "prometheus")
    try:
        subprocess.run(fetch, cwd=folder, check=True, capture_output=True, timeout=DOWNLOAD_SECONDS_MAX)
        (package,) = folder.glob("prometheus_*.deb")
        subprocess.run(("dpkg-deb", "-x", str(package), str(folder)), check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        raise NoPromtoolError(f"Debian's package prometheus cannot be fetched: {error}") from error
    for package in folder.glob("prometheus_*.deb"):
        package.unlink()


def run(*arguments: str) -> str:
    """What it says; AssertionError when it finds fault. NoPromtoolError when it cannot be had."""
    done = subprocess.run((promtool(), *arguments), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"promtool {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout
