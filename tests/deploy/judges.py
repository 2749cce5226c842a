"""The judges from outside over manifests: Kubernetes' schemas, those of the operators, and a policy linter."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.deploy.files import ROOT, Document, parsed

KUBERNETES_VERSION = "1.37"
BUILT_IN = re.compile(r"v1|(apps|batch|policy|autoscaling)/v\d|(networking|rbac\.authorization)\.k8s\.io/v\d")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program's exit code and what it said."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


def kustomized(tools: Path, folder: Path) -> str:
    """The manifests of a folder, as kustomize renders them."""
    done = run(tools / "kubectl", "kustomize", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kubernetes(tools: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """What Kubernetes' strict schemas say to the kinds that are its own."""
    return run(tools / "kubernetes-validate", "--strict", "--kubernetes-version", KUBERNETES_VERSION, path)


def custom(path: Path) -> list[Document]:
    """The manifests of kinds that are not Kubernetes' own."""
    return [each for each in parsed(path.read_text()) if not BUILT_IN.fullmatch(each["apiVersion"])]


def fit_what_we_use(found: list[Document]) -> None:
    """ValidationError for a custom resource with a field that we have not looked up."""
    schemas = yaml.safe_load((ROOT / "tests/deploy/custom_resources.yaml").read_text())
    for each in found:
        name = f"{each['apiVersion']}/{each['kind']}"
        jsonschema.Draft7Validator({**schemas[name], "definitions": schemas["definitions"]}).validate(each["spec"])


def fit_crds(found: list[Document], folder: Path) -> None:
    """ValidationError for a custom resource that does not fit the CRD files in a folder."""
    schemas = _crds(folder)
    for each in found:
        jsonschema.Draft7Validator(schemas[each["apiVersion"], each["kind"]]).validate({**each, "metadata": {}})


def _crds(folder: Path) -> dict[tuple[str, str], Document]:
    """(apiVersion, kind) → schema that refuses unknown fields."""
    found = {}
    for definition in (each for path in folder.glob("*.yaml") for each in parsed(path.read_text())):
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            _close(schema)
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def _close(schema: Document) -> None:
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for each in inner:
        if isinstance(each, dict):
            _close(each)


def checkov(tools: Path, path: Path) -> dict[str, Any]:
    """What the policy linter found: `failed`, and how many checks `passed`."""
    command = ("--skip-download", "--config-file", ROOT / "deploy/checkov.yaml", "--framework", "kubernetes")
    done = run(tools / "checkov", *command, "--output", "json", "--file", path)
    report = json.loads(done.stdout)
    if "results" not in report:  # no kind among them that it knows
        return {"failed": [], "passed": 0}
    failed = [f"{each['check_id']} {each['resource']}" for each in report["results"]["failed_checks"]]
    return {"failed": failed, "passed": report["summary"]["passed"]}
