"""docs/dependencies.md names every direct dependency, nothing else, and the licence its metadata says."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILIES = {"Apache": "Apache-2.0", "BSD 2": "BSD-2-Clause", "BSD": "BSD-3-Clause", "MIT": "MIT"}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0]


def _direct() -> set[str]:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = read["project"]
    wanted = [*project["dependencies"], *read["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    return {_name(requirement) for requirement in wanted}


def _documented() -> dict[str, str]:
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| [^|]{10,} \| ([^|]+) \|$", (ROOT / "docs/dependencies.md").read_text(), re.M
    )
    return {name: licence.strip() for name, licence in rows}


def _licence_of(name: str) -> str:
    metadata = importlib.metadata.metadata(name)
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    said = metadata["License"]
    if said is None:
        classifiers = metadata.get_all("Classifier") or []
        said = next(c.rpartition(":: ")[2] for c in classifiers if c.startswith("License ::"))
    if said in FAMILIES.values():
        return said
    return next((licence for beginning, licence in FAMILIES.items() if said.startswith(beginning)), said)


def test_every_direct_dependency_is_documented_and_no_other() -> None:
    assert _documented().keys() == _direct()


@pytest.mark.parametrize("name", sorted(_direct()))
def test_the_documented_licence_is_that_of_the_package(name: str) -> None:
    assert _documented()[name] == _licence_of(name)


def test_lock_files_pin_every_direct_dependency_and_name_no_index() -> None:
    lock = (ROOT / "requirements" / "dev.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.M))
    assert _direct() <= pinned
    assert "://" not in lock + (ROOT / "requirements" / "run.lock").read_text()


def test_the_build_requirement_is_the_one_that_is_locked() -> None:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert (ROOT / "requirements" / "build.in").read_text().split() == read["build-system"]["requires"]
