"""What is written in `deploy/` and beside it, read as data."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from o2c.stack import SERVICES
from shared.contracts.messages import contract_of
from shared.eventsourced.service import Service
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("development", "production")

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """All documents of a YAML file."""
    return parsed(path.read_text(encoding="utf-8"))


def parsed(text: str) -> list[Document]:
    """All documents of a YAML text."""
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(found: list[Document], kind: str) -> dict[str, Document]:
    """Name → document."""
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


@cache
def compose() -> Document:
    """docker-compose.yml with its merges resolved."""
    read: Document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return read


@cache
def services() -> dict[str, Service]:
    """Every service by name, as the code has it."""
    return {name: importlib.import_module(f"services.{name}.app").service(Settings()) for name in SERVICES}


def topics_heard(name: str) -> set[str]:
    """The topics that a service listens to."""
    return {contract_of(message).topic for message in services()[name].hears}


def settings_variables() -> set[str]:
    """Every environment variable that a process of ours reads."""
    return {f"O2C_{name.upper()}" for name in Settings.model_fields}
