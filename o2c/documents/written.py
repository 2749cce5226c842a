"""Which generated file holds what, how they are written, and which of them are out of date."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from o2c.documents.asyncapi import asyncapi
from o2c.documents.flow import Services, flow_page, load_services, missing_services
from o2c.documents.openapi import openapi
from shared.contracts.catalogue import contracts
from shared.contracts.schemas import schema_of
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "contracts" / "golden"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "o2c.yaml"
KUBERNETES_RULES = Path("deploy/kubernetes/monitoring/rules.yaml")

Files = dict[Path, str]


def documents() -> Files:
    """Every generated file, by its path in the repository, and what it should hold."""
    samples = _samples()
    if missing := missing_services():
        raise LookupError(f"these services are not there: {', '.join(missing)}")
    # Defaults, whatever the environment says: the documents must not depend on who makes them.
    settings = Settings.model_construct()
    services = load_services(settings)
    return {
        **schema_documents(samples),
        **flow_documents(services, samples),
        **openapi_documents(services, settings),
        KUBERNETES_RULES: kubernetes_rules(RULES.read_text("utf-8")),
    }


def schema_documents(samples: Mapping[str, Any]) -> Files:
    """One JSON Schema per public message type."""
    return {
        Path("docs/schemas", f"{name}.json"): _json(schema_of(contract, [samples[name]] if name in samples else []))
        for name, contract in contracts().items()
    }


def flow_documents(services: Services, samples: Mapping[str, Any]) -> Files:
    """Who says what and who hears it, for people and for programs."""
    return {
        Path("docs/flow.md"): flow_page(services),
        Path("docs/asyncapi.json"): _json(asyncapi(services, version("o2c"), samples)),
    }


def openapi_documents(services: Services, settings: Settings) -> Files:
    """The HTTP face of each service."""
    return {Path("docs/openapi", f"{name}.json"): _json(openapi(each, settings)) for name, each in services.items()}


def kubernetes_rules(rules: str) -> str:
    """The rule file of Prometheus as the resource that its operator takes: a rule file is the resource's `spec`."""
    head = """\
# Made from deploy/prometheus/rules/o2c.yaml by `make documents`: edit that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: o2c
spec:
"""
    return head + "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(keepends=True))


def out_of_date(wanted: Files, root: Path = ROOT) -> list[str]:
    """Generated files that are missing, hold something else, or should not be there."""
    stale = [path for path, text in wanted.items() if _text(root / path) != text]
    return sorted(str(path) for path in (*stale, *_left_over(wanted, root)))


def write(wanted: Files, root: Path = ROOT) -> list[str]:
    """Bring all generated files up to date; which were touched."""
    stale = out_of_date(wanted, root)
    for path in _left_over(wanted, root):
        (root / path).unlink()
    for path, text in wanted.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    return stale


def _left_over(wanted: Files, root: Path) -> list[Path]:
    """Files in the folders that hold generated files alone, which nobody generates any more."""
    found = [path.relative_to(root) for folder in ("schemas", "openapi") for path in (root / "docs" / folder).glob("*")]
    return [path for path in found if path not in wanted]


def _samples() -> dict[str, Any]:
    """The golden samples: what was kept for ever is also the best example."""
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in SAMPLES.glob("*.json")}


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
