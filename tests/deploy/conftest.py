"""Fixtures of the checks of `deploy/`: the tools, and the manifests as they are rendered."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import KUBERNETES, OVERLAYS, ROOT
from tests.deploy.judges import kustomized


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the tools' programs; installed on first use (a minute or two), from the lock file."""
    install = [sys.executable, str(ROOT / "requirements" / "install.py"), "deploy"]
    done = subprocess.run(install, stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip()) / "bin"


@pytest.fixture(scope="session")
def rendered(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Overlay → file with all its manifests, as kustomize renders them."""
    folder = tmp_path_factory.mktemp("rendered")
    files = {}
    for overlay in OVERLAYS:
        files[overlay] = folder / f"{overlay}.yaml"
        files[overlay].write_text(kustomized(tools, KUBERNETES / "overlays" / overlay))
    return files
