"""The examples of how people and shops come in from outside: they fit, and let in what they say and no more."""

import os
import re
from pathlib import Path

import pytest
import yaml

from services.order.api import routes as routes_of_order
from shared.contracts.catalogue import INBOUND_TOPICS
from tests.deploy.files import KUBERNETES, Document, documents, of_kind, parsed
from tests.deploy.judges import checkov, custom, fit_crds, fit_what_we_use, kustomized, of_kubernetes

pytestmark = pytest.mark.deploy

EXAMPLES = KUBERNETES / "examples"
PLAIN = sorted(EXAMPLES.glob("*.yaml"))
CRDS = "O2C_CRDS"


@pytest.fixture(scope="session")
def platform(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The production platform with shops over Kafka, as kustomize renders it."""
    folder = tmp_path_factory.mktemp("over-kafka")
    base = os.path.relpath(KUBERNETES / "overlays" / "production" / "platform", folder)
    component = os.path.relpath(EXAMPLES / "shops-over-kafka", folder)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [base], "components": [component]}))
    rendered = folder / "rendered.yaml"
    rendered.write_text(kustomized(tools, folder))
    return rendered


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: str(path.name))
def test_an_example_fits_its_schema_and_the_linter_finds_nothing(tools: Path, path: Path) -> None:
    judged = of_kubernetes(tools, path)
    fit_what_we_use(custom(path))
    assert custom(path) or judged.returncode == 0, judged.stdout + judged.stderr
    assert checkov(tools, path)["failed"] == []


def test_the_platform_with_shops_over_kafka_fits_and_the_linter_finds_nothing(tools: Path, platform: Path) -> None:
    fit_what_we_use(custom(platform))
    assert checkov(tools, platform)["failed"] == []


@pytest.mark.skipif(CRDS not in os.environ, reason=f"{CRDS} names no folder with the operators' CRDs")
def test_the_examples_fit_the_crds(platform: Path) -> None:
    for path in (platform, *PLAIN):
        fit_crds(custom(path), Path(os.environ[CRDS]))


def route() -> Document:
    (found,) = documents(EXAMPLES / "shops-over-http.yaml")
    return found


def matches(method: str, path: str) -> bool:
    """Whether the route takes a request."""
    for each in (match for rule in route()["spec"]["rules"] for match in rule["matches"]):
        as_said = {"Exact": re.escape, "RegularExpression": str}[each["path"]["type"]](each["path"]["value"])
        if method == each["method"] and re.fullmatch(as_said, path):
            return True
    return False


def test_of_all_routes_of_order_shops_reach_two() -> None:
    every = {
        (method, each.path)
        for each in routes_of_order(None).routes  # type: ignore[arg-type]
        for method in each.methods  # type: ignore[attr-defined]
    }
    engine = {("GET", "/status"), ("POST", "/replay"), ("GET", "/metrics"), ("GET", "/dead-letters"), ("GET", "/docs")}
    assert len(every) > 8
    assert {(method, path) for method, path in every | engine if matches(method, path)} == {
        ("POST", "/orders"),
        ("GET", "/orders/{order_id}"),
    }


def test_the_examples_lead_to_services_that_exist(rendered: dict[str, Path]) -> None:
    found = of_kind(parsed(rendered["production"].read_text()), "Service")
    (shops,) = route()["spec"]["rules"][0]["backendRefs"]
    assert shops["port"] in {port["port"] for port in found[shops["name"]]["spec"]["ports"]}
    (people,) = documents(EXAMPLES / "people-over-http.yaml")
    (path,) = people["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    assert (path["path"], path["pathType"], backend["name"]) == ("/tower", "Prefix", "o2c-analytics")
    assert backend["port"]["name"] in {port["name"] for port in found[backend["name"]]["spec"]["ports"]}
    assert "router.middlewares" in str(people["metadata"]["annotations"])  # the login


def test_from_outside_nobody_comes_without_a_password_and_each_writes_to_inbound_topics_only(platform: Path) -> None:
    found = parsed(platform.read_text())
    internal, external = of_kind(found, "Kafka")["o2c"]["spec"]["kafka"]["listeners"]
    assert internal["type"] == "internal"
    assert (external["tls"], external["authentication"]) == (True, {"type": "scram-sha-512"})
    assert external["networkPolicyPeers"] == [
        {"ipBlock": {"cidr": cidr}} for cidr in external["configuration"]["loadBalancerSourceRanges"]
    ]
    # Who has no password is ANONYMOUS: the services, on the listener that only they reach.
    authorization = of_kind(found, "Kafka")["o2c"]["spec"]["kafka"]["authorization"]
    assert authorization == {"type": "simple", "superUsers": ["ANONYMOUS"]}
    assert internal["networkPolicyPeers"]
    rules = [rule for user in of_kind(found, "KafkaUser").values() for rule in user["spec"]["authorization"]["acls"]]
    assert {rule["resource"]["name"] for rule in rules} == set(INBOUND_TOPICS)
    assert {operation for rule in rules for operation in rule["operations"]} == {"Write", "Describe"}
    assert {user["metadata"]["labels"]["strimzi.io/cluster"] for user in of_kind(found, "KafkaUser").values()} == {
        "o2c"
    }
