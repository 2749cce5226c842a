"""Makes the project's environments: `python3 requirements/install.py run|dev|deploy`, with nothing but Python itself.

`run` installs what the product needs, `dev` what its tests and checks need as well, both from the lock files with their
hashes, and then the project itself. `deploy` installs the tools that judge `deploy/` into a cache beside the project,
since they are large and want other versions of the same packages; it prints where. Doing it again changes nothing; a
changed lock is installed again.
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
    """Bring the environment to `run`, `dev` or `deploy`; exit with a message when that cannot be."""
    if sys.version_info < PYTHON_MIN:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"O2C needs Python 3.11 or newer, and {sys.executable} is {found}. Try: make PYTHON=python3.12 ...")
    venv = tools_environment() if kind == "deploy" else VENV
    venv.mkdir(parents=True, exist_ok=True)
    with (venv / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once install one after the other
        make_environment(venv)
        for name in {"run": ["run"], "dev": ["run", "dev"], "deploy": ["deploy"]}[kind]:
            once(venv, f"{name}.lock", ROOT / "requirements" / f"{name}.lock", "--require-hashes", "-r")
        if kind == "deploy":
            print(venv)
        else:
            once(venv, "project", ROOT / "pyproject.toml", "--no-deps", "--no-build-isolation", "-e")


def tools_environment() -> Path:
    """Where the tools of this lock file are, or will be: `$O2C_CACHE` (default `~/.cache/o2c`) outlives a clone."""
    cache = os.environ.get("O2C_CACHE")
    content = (ROOT / "requirements" / "deploy.lock").read_bytes() + sys.version.encode()
    return (
        Path(cache) if cache else Path.home() / ".cache" / "o2c"
    ) / f"tools-{hashlib.sha256(content).hexdigest()[:12]}"


def make_environment(venv: Path) -> None:
    """Create the environment unless it is there and whole."""
    if (venv / "bin" / "python").exists() and (venv / "bin" / "pip").exists():
        return
    for stamp in venv.glob(".installed-*"):
        stamp.unlink()
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.exit(
            f"This Python has no `venv`: Debian and Ubuntu keep it in a package of its own.\n"
            f"Install it with: apt-get install python{version}-venv (or python3-venv), then run make again."
        )
    print(f"creating {shown(venv)}", file=sys.stderr, flush=True)
    if subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False).returncode:
        sys.exit(f"the environment {shown(venv)} could not be created")


def once(venv: Path, name: str, source: Path, *options: str) -> None:
    """Let pip install from `source`, unless that was done with the same content before."""
    stamp = venv / f".installed-{name}"
    wanted = hashlib.sha256(source.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {shown(source)}", file=sys.stderr, flush=True)
    target = str(source.parent if source.name == "pyproject.toml" else source)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # A PYTHONPATH of the caller's could make packages look installed that are not.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if subprocess.run([*pip, *options, target], env=environment, check=False).returncode:
        sys.exit(f"installing {shown(source)} failed")
    stamp.write_text(wanted)


def shown(path: Path) -> Path:
    """A path as people see it from the project."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("run", "dev", "deploy"):
        sys.exit(__doc__)
    main(sys.argv[1])
