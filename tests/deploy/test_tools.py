"""Judges from outside over Dockerfile, docker-compose.yml and both overlays: none needs Docker or a cluster."""

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import OVERLAYS, ROOT, of_kind, parsed
from tests.deploy.judges import BUILT_IN, checkov, custom, fit_crds, fit_what_we_use, of_kubernetes, run

pytestmark = pytest.mark.deploy

CRDS = "O2C_CRDS"
"""Environment variable: a folder with the CRD files of the operators, to be asked as well."""


# ---- Docker


def test_hadolint_finds_nothing(tools: Path) -> None:
    done = run(tools / "hadolint", ROOT / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_docker_compose_takes_the_file(tools: Path) -> None:
    done = run(tools / "docker-compose", "--profile", "*", "--file", ROOT / "docker-compose.yml", "config")
    assert done.returncode == 0, done.stderr
    assert "order" in yaml.safe_load(done.stdout)["services"]


def test_docker_compose_refuses_a_field_that_it_does_not_know(tools: Path, tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services: {a: {image: a, helthcheck: {disable: true}}}")
    assert run(tools / "docker-compose", "--file", broken, "config").returncode != 0


# ---- Kubernetes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kinds_of_kubernetes_fit_their_schemas(tools: Path, rendered: dict[str, Path], overlay: str) -> None:
    done = of_kubernetes(tools, rendered[overlay])
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    checked = [each for each in parsed(rendered[overlay].read_text()) if BUILT_IN.fullmatch(each["apiVersion"])]
    assert said.count(" passed for resource ") == len(checked) > 30


def test_a_misspelt_field_does_not_fit(tools: Path, rendered: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(rendered["production"].read_text().replace("readinessProbe:", "readynessProbe:"))
    assert of_kubernetes(tools, broken).returncode != 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kinds_of_the_operators_fit_what_we_use_of_them(rendered: dict[str, Path], overlay: str) -> None:
    found = custom(rendered[overlay])
    assert len(found) > 20
    fit_what_we_use(found)


@pytest.mark.skipif(CRDS not in os.environ, reason=f"{CRDS} names no folder with the operators' CRDs")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kinds_of_the_operators_fit_their_crds(rendered: dict[str, Path], overlay: str) -> None:
    fit_crds(custom(rendered[overlay]), Path(os.environ[CRDS]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_policy_linter_finds_nothing(tools: Path, rendered: dict[str, Path], overlay: str) -> None:
    done = checkov(tools, rendered[overlay])
    assert done["failed"] == [], done["failed"]
    assert done["passed"] > 400


def test_the_policy_linter_finds_a_writable_root(tools: Path, rendered: dict[str, Path], tmp_path: Path) -> None:
    weak = tmp_path / "weak.yaml"
    weak.write_text(rendered["production"].read_text().replace("readOnlyRootFilesystem: true", "privileged: true"))
    assert {"CKV_K8S_16", "CKV_K8S_22"} <= {each.split()[0] for each in checkov(tools, weak)["failed"]}


# ---- the whole, as it is applied


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_reference_is_met(rendered: dict[str, Path], overlay: str) -> None:
    found = parsed(rendered[overlay].read_text())
    deployments = of_kind(found, "Deployment")
    assert deployments.pop("o2c-tool")["spec"]["template"]["spec"]["serviceAccountName"] in of_kind(
        found, "ServiceAccount"
    )
    accounts, maps = of_kind(found, "ServiceAccount"), of_kind(found, "ConfigMap")
    assert {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(found, "ScaledObject").values()} == set(
        deployments
    )
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] in accounts
        assert pod["containers"][0]["envFrom"][0]["configMapRef"]["name"] in maps
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        component = name.removeprefix("o2c-")
        for kind, called in (("Service", name), ("Service", f"o2c-pods-{component}"), ("PodDisruptionBudget", name)):
            selector = of_kind(found, kind)[called]["spec"]["selector"]
            assert selector.get("matchLabels", selector).items() <= labels.items(), f"{kind} {called}"
        assert labels["app.kubernetes.io/component"] == component
        assert selector.get("matchLabels", selector)["app.kubernetes.io/component"] == component


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_and_grafana_are_given_what_they_pick_up(rendered: dict[str, Path], overlay: str) -> None:
    found = parsed(rendered[overlay].read_text())
    monitoring = [*of_kind(found, "PodMonitor").values(), of_kind(found, "PrometheusRule")["o2c"]]
    dashboards = of_kind(found, "ConfigMap")["o2c-dashboards"]
    assert {each["metadata"]["namespace"] for each in (*monitoring, dashboards)} == {"o2c"}
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {json.loads(text)["uid"] for text in dashboards["data"].values()} == {
        "o2c-flow",
        "o2c-money",
        "o2c-services",
    }


def test_production_is_safe_against_the_loss_of_a_machine(rendered: dict[str, Path]) -> None:
    found = parsed(rendered["production"].read_text())
    assert {each["spec"]["minReplicaCount"] for each in of_kind(found, "ScaledObject").values()} == {2}
    assert {each["spec"]["replicas"] for each in of_kind(found, "KafkaTopic").values()} == {3}
    assert {each["spec"]["config"]["min.insync.replicas"] for each in of_kind(found, "KafkaTopic").values()} == {2}
    clusters = of_kind(found, "Cluster")
    assert {each["spec"]["instances"] for each in clusters.values()} == {3}
    assert {each["spec"]["cluster"]["name"] for each in of_kind(found, "ScheduledBackup").values()} == set(clusters)


def test_a_changed_password_reaches_postgresql(rendered: dict[str, Path]) -> None:
    found = parsed(rendered["development"].read_text())
    secrets = of_kind(found, "Secret")
    used = {
        role["passwordSecret"]["name"]
        for cluster in of_kind(found, "Cluster").values()
        for role in cluster["spec"]["managed"]["roles"]
    }
    assert used == set(secrets)
    assert {secret["metadata"]["labels"]["cnpg.io/reload"] for secret in secrets.values()} == {"true"}
    # Elsewhere they are made by hand, as the docs say.
    assert 'label secret "o2c-$name-database" cnpg.io/reload=true' in (ROOT / "docs" / "deploying.md").read_text()


def test_the_restricted_pod_security_is_enforced(rendered: dict[str, Path]) -> None:
    for path in rendered.values():
        labels = of_kind(parsed(path.read_text()), "Namespace")["o2c"]["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
