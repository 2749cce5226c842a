"""The NetworkPolicies, as they are rendered, let through the arrows of the design, and no other."""

from pathlib import Path
from typing import Any

import pytest

from o2c.stack import SERVICES
from tests.deploy.files import OVERLAYS, Document, of_kind, parsed
from tests.deploy.network import Pod, Policy, connections

pytestmark = pytest.mark.deploy

COMPONENT = "app.kubernetes.io/component"
GATEWAYS = {
    "development": Pod("gateway", {}, "ingress"),
    "production": Pod("gateway", {"app.kubernetes.io/name": "ingress-nginx"}, "ingress-nginx"),
}
OTHERS = [
    Pod("analyst", {COMPONENT: "analyst"}),  # started by people: docs/analysts.md
    Pod("kafka", {"strimzi.io/cluster": "o2c", "strimzi.io/name": "o2c-kafka"}),
    Pod("entity-operator", {"strimzi.io/cluster": "o2c", "strimzi.io/name": "o2c-entity-operator"}),
    Pod("o2c-postgres", {"cnpg.io/cluster": "o2c-postgres"}),
    Pod("stranger", {"app": "stranger"}),
    Pod("prometheus", {"app.kubernetes.io/name": "prometheus"}, "monitoring"),
    Pod("collector", {"app.kubernetes.io/name": "opentelemetry-collector"}, "monitoring"),
    Pod("keda", {"app": "keda-operator"}, "keda"),
    Pod("cnpg", {}, "cnpg-system"),
    Pod("foreigner", {}, "elsewhere"),
]
PORTS = {
    "http": 8080,
    "kafka": 9092,
    "sql": 5432,
    "status": 8000,
    "exporter": 9187,
    "kafka-metrics": 9404,
    "otlp": 4318,
}
EXPECTED = {
    *((name, "kafka", 9092) for name in (*SERVICES, "tool", "keda", "kafka")),
    *((name, "o2c-postgres", 5432) for name in (*SERVICES, "migration", "tool", "analyst", "cnpg", "o2c-postgres")),
    *((caller, name, 8080) for name in SERVICES for caller in ("gateway", "prometheus", "tool")),
    *((name, "collector", 4318) for name in SERVICES),
    *(("analytics", name, 8080) for name in SERVICES),
    *((name, "o2c-postgres", 8000) for name in ("cnpg", "o2c-postgres")),
    ("prometheus", "o2c-postgres", 9187),
    # Strimzi opens it to everybody; only our own pods are kept from it, by what they may open themselves.
    *((name, "kafka", 9404) for name in ("gateway", *(pod.name for pod in OTHERS if pod.namespace))),
}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def manifests(rendered: dict[str, Path], overlay: str) -> list[Document]:
    return parsed(rendered[overlay].read_text(encoding="utf-8"))


@pytest.fixture
def pods(manifests: list[Document], overlay: str) -> list[Pod]:
    """Ours, with the labels that the manifests give them, and those of others."""
    return [*of_manifests(manifests), GATEWAYS[overlay], *OTHERS]


@pytest.fixture
def policies(manifests: list[Document]) -> list[Policy]:
    """Ours, and the one that Strimzi makes: for the listener's peers, and for anybody who asks for metrics."""
    kafka = of_kind(manifests, "Kafka")["o2c"]["spec"]["kafka"]
    (listener,) = kafka["listeners"]
    assert "metricsConfig" in kafka
    of_strimzi = {
        "spec": {
            "podSelector": {"matchLabels": {"strimzi.io/name": "o2c-kafka"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": listener["networkPolicyPeers"],
                    "ports": [{"protocol": "TCP", "port": listener["port"]}],
                },
                {"ports": [{"protocol": "TCP", "port": PORTS["kafka-metrics"]}]},
            ],
        }
    }
    return [*of_kind(manifests, "NetworkPolicy").values(), of_strimzi]


def of_manifests(manifests: list[Document]) -> list[Pod]:
    """A pod of every template, named after its component."""
    templates: list[dict[str, Any]] = [
        *(each["spec"]["template"] for kind in ("Deployment", "Job") for each in of_kind(manifests, kind).values()),
        *(each["spec"]["jobTemplate"]["spec"]["template"] for each in of_kind(manifests, "CronJob").values()),
    ]
    return [Pod(labels[COMPONENT], labels) for labels in (each["metadata"]["labels"] for each in templates)]


def test_exactly_the_arrows_of_the_design_are_let_through(pods: list[Pod], policies: list[Policy]) -> None:
    assert {pod.name for pod in pods} >= {*SERVICES, "migration", "tool"}
    assert connections(pods, policies, PORTS.values()) == EXPECTED


def test_only_the_control_tower_reaches_other_services_and_strangers_reach_nothing(
    pods: list[Pod], policies: list[Policy]
) -> None:
    found = connections(pods, policies, PORTS.values())
    assert not {
        (sender, taker)
        for sender, taker, _ in found
        if sender in SERVICES and taker in SERVICES and sender != "analytics"
    }
    assert [edge for edge in found if "stranger" in edge or "foreigner" in edge] == [("foreigner", "kafka", 9404)]


def test_without_the_default_denial_strangers_would_get_through(pods: list[Pod], policies: list[Policy]) -> None:
    weak = [policy for policy in policies if policy.get("metadata", {}).get("name") != "default-deny"]
    assert ("stranger", "kafka", 9092) not in connections(pods, weak, PORTS.values())  # the listener has its own
    assert ("foreigner", "stranger", 8080) in connections(pods, weak, PORTS.values())
    assert ("foreigner", "stranger", 8080) not in connections(pods, policies, PORTS.values())


def test_no_selector_bears_a_label_that_is_put_on_everything(manifests: list[Document]) -> None:
    """A label that goes into all selectors goes into those of the policies' peers, too: nobody would reach Kafka."""
    for policy in of_kind(manifests, "NetworkPolicy").values():
        assert "app.kubernetes.io/part-of" not in str(policy["spec"])
