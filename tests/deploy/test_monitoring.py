"""What watches is the same in Compose and in Kubernetes: every service is scraped, alerts and dashboards are one."""

import re
from typing import Any

import yaml

from o2c.documents.written import KUBERNETES_RULES, RULES, kubernetes_rules
from o2c.stack import SERVICES
from tests.deploy.files import KUBERNETES, ROOT, compose, documents, of_kind
from tests.deploy.network import selects
from tests.telemetry.promql import DASHBOARDS

COMPONENT = "app.kubernetes.io/component"
APPLIED_BYTES_MAX = 262_144  # `kubectl apply` keeps a copy in an annotation, and these may not be larger


def base_labels() -> dict[str, str]:
    """The labels that every pod of the base has."""
    (base,) = documents(KUBERNETES / "base" / "kustomization.yaml")
    (labels,) = base["labels"]
    assert labels["includeTemplates"]
    return dict(labels["pairs"])


def pod_monitor() -> dict[str, Any]:
    (found,) = documents(KUBERNETES / "monitoring" / "podmonitor.yaml")
    return dict(found["spec"])


def test_prometheus_of_compose_scrapes_every_service_under_its_name() -> None:
    (read,) = documents(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    (job,) = [each for each in read["scrape_configs"] if each["job_name"] == "o2c"]
    assert job["static_configs"] == [{"targets": [f"{name}:8080"], "labels": {"service": name}} for name in SERVICES]


def test_prometheus_of_kubernetes_scrapes_every_service_under_its_name() -> None:
    spec = pod_monitor()
    labels = base_labels()
    scraped = [
        name for name in (*SERVICES, "tool", "migration") if selects(spec["selector"], {**labels, COMPONENT: name})
    ]
    assert scraped == list(SERVICES)
    assert labels[spec["jobLabel"]] == "o2c"  # up{job="o2c"}
    (endpoint,) = spec["podMetricsEndpoints"]
    (deployment,) = documents(KUBERNETES / "base" / "service" / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    (relabeling,) = endpoint["relabelings"]
    assert relabeling["targetLabel"] == "service"
    source = "__meta_kubernetes_pod_label_" + COMPONENT.replace(".", "_").replace("/", "_")
    assert relabeling["sourceLabels"] == [source]


def test_prometheus_scrapes_the_nodes_of_kafka_and_postgresql() -> None:
    monitors = of_kind(documents(KUBERNETES / "monitoring" / "platform.yaml"), "PodMonitor")
    platform = [each for path in (KUBERNETES / "platform").glob("*.yaml") for each in documents(path)]
    (kafka,) = of_kind(platform, "Kafka").items()
    (cluster,) = [
        each for each in platform if each["apiVersion"].startswith("postgresql") and each["kind"] == "Cluster"
    ]
    assert {name: each["spec"]["selector"]["matchLabels"] for name, each in monitors.items()} == {
        "o2c-kafka": {"strimzi.io/name": f"{kafka[0]}-kafka"},
        "o2c-postgres": {"cnpg.io/cluster": cluster["metadata"]["name"]},
    }
    allowed = kafka[1]["spec"]["kafka"]["metricsConfig"]["values"]["allowList"]
    for name in set(re.findall(r"\bkafka_[a-z_]+", RULES.read_text())):
        assert any(re.fullmatch(pattern, name) for pattern in allowed), name


def test_a_service_whose_target_is_gone_is_down() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule.get("alert") == "ServiceDown"]
    for name in SERVICES:
        assert f'absent(up{{job="o2c", service="{name}"}})' in rule["expr"]


def test_kubernetes_has_the_rules_of_compose() -> None:
    (resource,) = documents(ROOT / KUBERNETES_RULES)
    (rules,) = documents(RULES)
    assert resource["kind"] == "PrometheusRule"
    assert resource["spec"] == rules
    assert [path.name for path in RULES.parent.glob("*.y*ml")] == [RULES.name]
    assert (ROOT / KUBERNETES_RULES).read_text() == kubernetes_rules(RULES.read_text()), "run: make documents"


def test_kubernetes_has_the_dashboards_of_compose() -> None:
    (kustomization,) = documents(ROOT / "deploy" / "grafana" / "kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    assert generated["files"] == [f"dashboards/{path.name}" for path in DASHBOARDS]
    assert generated["options"]["labels"] == {"grafana_dashboard": "1"}
    assert sum(path.stat().st_size for path in DASHBOARDS) < APPLIED_BYTES_MAX * 3 // 4  # the copy escapes quotes


def mounted(service: str) -> dict[str, str]:
    """Where in the container → which of our folders and files."""
    volumes = [each.split(":") for each in compose()["services"][service]["volumes"] if each.startswith("./")]
    return {inside: here for here, inside, _ in volumes}


def test_compose_mounts_what_prometheus_and_grafana_are_told_to_read() -> None:
    (read,) = documents(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    (pattern,) = read["rule_files"]
    assert (ROOT / mounted("prometheus")[pattern.rpartition("/")[0]]).resolve() == RULES.parent
    (provisioning,) = documents(ROOT / "deploy" / "grafana" / "provisioning" / "dashboards" / "dashboards.yaml")
    (provider,) = provisioning["providers"]
    (folder,) = {path.parent for path in DASHBOARDS}
    assert (ROOT / mounted("grafana")[provider["options"]["path"]]).resolve() == folder
    (sources,) = documents(ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "datasources.yaml")
    assert "prometheus" in {source["uid"] for source in sources["datasources"]}  # which every panel names
