"""Makes the project's environment: `python3 requirements/install.py run|dev`, with nothing but Python itself.

`run` installs what the product needs, `dev` what its tests and checks need as well, both from the lock files with their
hashes, and then the project itself. Doing it again changes nothing; a changed lock is installed again.
"""

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON_MIN = (3, 11)


def main(kind: str) -> None:
    """Bring the environment to `run` or `dev`; exit with a message when that cannot be."""
    if sys.version_info < PYTHON_MIN:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"O2C needs Python 3.11 or newer, and {sys.executable} is {found}. Try: make PYTHON=python3.12 ...")
    VENV.mkdir(exist_ok=True)
    with (VENV / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once install one after the other
        make_environment()
        locks = ["run"] if kind == "run" else ["run", "dev"]
        for name in locks:
            once(f"{name}.lock", ROOT / "requirements" / f"{name}.lock", "--require-hashes", "-r")
        once("project", ROOT / "pyproject.toml", "--no-deps", "--no-build-isolation", "-e")


def make_environment() -> None:
    """Create `.venv` unless it is there and whole."""
    if (VENV / "bin" / "python").exists() and (VENV / "bin" / "pip").exists():
        return
    for stamp in VENV.glob(".installed-*"):
        stamp.unlink()
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(
            f"This Python has no `venv`: Debian and Ubuntu keep it in a package of its own.\n"
            f"Install it with: apt-get install python{version}-venv (or python3-venv), then run make again."
        )
    print("creating .venv", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode:
        sys.exit("the environment .venv could not be created")


def once(name: str, source: Path, *options: str) -> None:
    """Let pip install from `source`, unless that was done with the same content before."""
    stamp = VENV / f".installed-{name}"
    wanted = hashlib.sha256(source.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {source.relative_to(ROOT)}", flush=True)
    target = str(source.parent if source.name == "pyproject.toml" else source)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # A PYTHONPATH of the caller's could make packages look installed that are not.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if subprocess.run([*pip, *options, target], env=environment, check=False).returncode:
        sys.exit(f"installing {source.relative_to(ROOT)} failed")
    stamp.write_text(wanted)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("run", "dev"):
        sys.exit(__doc__)
    main(sys.argv[1])
