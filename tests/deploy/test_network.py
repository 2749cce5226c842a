"""The NetworkPolicies let through the arrows of the design, and no other."""

from o2c.stack import SERVICES
from tests.deploy.files import KUBERNETES, documents, of_kind
from tests.deploy.network import Pod, Policy, connections

COMPONENT = "app.kubernetes.io/component"
PODS = [
    *(Pod(name, {COMPONENT: name}) for name in (*SERVICES, "migration", "tool", "analyst")),
    Pod("kafka", {"strimzi.io/cluster": "o2c", "strimzi.io/name": "o2c-kafka"}),
    Pod("entity-operator", {"strimzi.io/cluster": "o2c", "strimzi.io/name": "o2c-entity-operator"}),
    Pod("o2c-postgres", {"cnpg.io/cluster": "o2c-postgres"}),
    Pod("stranger", {"app": "stranger"}),
    Pod("gateway", {}, "ingress"),
    Pod("prometheus", {"app.kubernetes.io/name": "prometheus"}, "monitoring"),
    Pod("collector", {"app.kubernetes.io/name": "opentelemetry-collector"}, "monitoring"),
    Pod("keda", {"app": "keda-operator"}, "keda"),
    Pod("cnpg", {}, "cnpg-system"),
    Pod("foreigner", {}, "elsewhere"),
]
PORTS = {"http": 8080, "kafka": 9092, "sql": 5432, "status": 8000, "exporter": 9187, "otlp": 4318}
EXPECTED = {
    *((name, "kafka", 9092) for name in (*SERVICES, "tool", "keda")),
    *((name, "o2c-postgres", 5432) for name in (*SERVICES, "migration", "tool", "analyst", "cnpg", "o2c-postgres")),
    *((caller, name, 8080) for name in SERVICES for caller in ("gateway", "prometheus", "tool")),
    *((name, "collector", 4318) for name in SERVICES),
    *(("analytics", name, 8080) for name in SERVICES),
    ("cnpg", "o2c-postgres", 8000),
    ("prometheus", "o2c-postgres", 9187),
}


def policies() -> list[Policy]:
    """Ours, and the one that Strimzi makes of the listener's peers."""
    files = [KUBERNETES / part / "network.yaml" for part in ("platform", "base", "migrations")]
    ours = [policy for path in files for policy in of_kind(documents(path), "NetworkPolicy").values()]
    (listener,) = of_kind(documents(KUBERNETES / "platform" / "kafka.yaml"), "Kafka")["o2c"]["spec"]["kafka"][
        "listeners"
    ]
    of_strimzi = {
        "spec": {
            "podSelector": {"matchLabels": {"strimzi.io/name": "o2c-kafka"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": listener["networkPolicyPeers"],
                    "ports": [{"protocol": "TCP", "port": listener["port"]}],
                }
            ],
        }
    }
    return [*ours, of_strimzi]


def test_exactly_the_arrows_of_the_design_are_let_through() -> None:
    assert connections(PODS, policies(), PORTS.values()) == EXPECTED


def test_only_the_control_tower_reaches_other_services_and_strangers_reach_nothing() -> None:
    found = connections(PODS, policies(), PORTS.values())
    assert not {
        (sender, taker)
        for sender, taker, _ in found
        if sender in SERVICES and taker in SERVICES and sender != "analytics"
    }
    assert not [edge for edge in found if "stranger" in edge or "foreigner" in edge]


def test_without_the_default_denial_strangers_would_get_through() -> None:
    weak = [policy for policy in policies() if policy.get("metadata", {}).get("name") != "default-deny"]
    assert ("stranger", "kafka", 9092) not in connections(PODS, weak, PORTS.values())  # the listener has its own
    assert ("foreigner", "stranger", 8080) in connections(PODS, weak, PORTS.values())
    assert ("foreigner", "stranger", 8080) not in connections(PODS, policies(), PORTS.values())
