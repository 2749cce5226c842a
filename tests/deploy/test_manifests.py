"""The Kubernetes manifests say what the code says: services, topics, settings, ports, limits."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml
from typer.core import TyperGroup

from o2c.addresses import URLS
from o2c.main import app
from o2c.stack import SERVICES
from o2c.stack.postgres import ANALYST, ANALYST_SETTINGS
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS
from shared.eventsourced.publishing import LANES
from shared.frame.running import DRAIN_SHARE
from shared.kafka import CONTROL_TOPIC, TOPIC_CONFIGURATION, dead_letter_topic
from shared.settings import Settings
from tests.deploy.files import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    documents,
    of_kind,
    services,
    settings_variables,
    topics_heard,
)

BASE, PLATFORM = KUBERNETES / "base", KUBERNETES / "platform"
CONNECTIONS_PER_REPLICA = 8 + 1  # the pool (shared.eventsourced.store.connect_pool) and the relay's own


def environment() -> dict[str, str]:
    """What the ConfigMap of the base says."""
    lines = (BASE / "settings.env").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines if line)


def deployment() -> dict[str, Any]:
    (found,) = documents(BASE / "service" / "deployment.yaml")
    return found


def container() -> dict[str, Any]:
    (found,) = deployment()["spec"]["template"]["spec"]["containers"]
    return dict(found)


def patched(name: str) -> dict[str, Any]:
    """The Deployment patch of one service."""
    (kustomization,) = documents(BASE / name / "kustomization.yaml")
    (patch,) = [yaml.safe_load(each["patch"]) for each in kustomization["patches"] if "patch" in each]
    assert kustomization["nameSuffix"] == f"-{name}"
    assert kustomization["labels"][0]["pairs"] == {"app.kubernetes.io/component": name}
    (found,) = patch["spec"]["template"]["spec"]["containers"]
    return dict(found)


def scaler(name: str) -> dict[str, Any]:
    (found,) = documents(BASE / name / "scaling.yaml")
    return dict(found["spec"])


def test_every_service_has_a_deployment_and_nothing_else_has() -> None:
    (base,) = documents(BASE / "kustomization.yaml")
    assert [each for each in base["resources"] if not each.endswith(".yaml")] == list(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_under_its_own_name_with_its_own_secret(name: str) -> None:
    patch = patched(name)
    assert patch["args"] == ["run", name]
    secrets = {each["valueFrom"]["secretKeyRef"]["name"] for each in patch["env"] if "valueFrom" in each}
    assert secrets == {f"o2c-{name}-database"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_scaled_by_the_lag_of_every_topic_it_hears(name: str) -> None:
    spec = scaler(name)
    assert spec["scaleTargetRef"] == {"name": f"o2c-{name}"}
    lag = [each["metadata"] for each in spec["triggers"] if each["type"] == "kafka"]
    assert {each["topic"] for each in lag} == topics_heard(name)
    assert {each["consumerGroup"] for each in lag} == {name}
    assert [each["type"] for each in spec["triggers"] if each["type"] != "kafka"] == ["cpu"]


def test_nothing_but_keda_scales() -> None:
    kinds = {each["kind"] for path in KUBERNETES.rglob("*.yaml") for each in documents(path)}
    assert "ScaledObject" in kinds
    assert "HorizontalPodAutoscaler" not in kinds
    assert "replicas" not in deployment()["spec"]


def test_the_topics_are_those_of_the_catalogue() -> None:
    topics = of_kind(documents(PLATFORM / "topics.yaml"), "KafkaTopic")
    said = {speaker.topic for speaker in SPEAKERS.values()}
    assert set(topics) == {*said, *INBOUND_TOPICS, CONTROL_TOPIC, *map(dead_letter_topic, SERVICES)}
    for name, topic in topics.items():
        spec = topic["spec"]
        assert spec["partitions"] == (1 if name == CONTROL_TOPIC else int(environment()["O2C_KAFKA_PARTITIONS"]))
        assert spec["replicas"] == int(environment()["O2C_KAFKA_REPLICATION"])
        assert spec["config"]["min.insync.replicas"] == spec["replicas"] - 1
        assert TOPIC_CONFIGURATION.items() <= spec["config"].items()
    assert LANES % int(environment()["O2C_KAFKA_PARTITIONS"]) == 0


def variables_in(text: str) -> set[str]:
    return set(re.findall(r"\bO2C_[A-Z_]+\b", text))


def deployed_files() -> list[Path]:
    found = [path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".yaml", ".yml", ".env", ".py", ".sql")]
    return [*found, ROOT / "Dockerfile", ROOT / "docker-compose.yml"]


def test_every_setting_that_is_deployed_exists() -> None:
    known = settings_variables() | {URLS}  # which is the operator's tool's
    unknown = {path.name: variables_in(path.read_text()) - known for path in deployed_files()}
    assert {name: found for name, found in unknown.items() if found} == {}


def test_the_deployed_settings_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.http_port == container()["ports"][0]["containerPort"]
    (kafka,) = of_kind(documents(PLATFORM / "kafka.yaml"), "Kafka")["o2c"]["spec"]["kafka"]["listeners"]
    assert settings.kafka_servers == f"o2c-kafka-bootstrap:{kafka['port']}"


def test_a_pod_is_given_time_for_its_grace_and_more_than_a_batch() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    before = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = float(environment()["O2C_SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= before + shutdown + 15  # to close Kafka, HTTP and the pool
    linger = float(environment()["O2C_HTTP_LINGER_SECONDS"])
    idle = httpx.Limits().keepalive_expiry  # so long the tower and the operator's tool use a connection again
    assert idle is not None
    assert idle < linger < shutdown * DRAIN_SHARE / 2


def test_probes_ask_what_they_mean() -> None:
    paths = {probe: container()[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


def test_postgres_takes_the_connections_of_all_replicas() -> None:
    (scaled,) = documents(BASE / "service" / "scaledobject.yaml")
    replicas = scaled["spec"]["maxReplicaCount"] + deployment()["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    for cluster in of_kind(documents(PLATFORM / "postgres.yaml"), "Cluster").values():
        spec = cluster["spec"]
        needed = len(SERVICES) * replicas * CONNECTIONS_PER_REPLICA
        assert int(spec["postgresql"]["parameters"]["max_connections"]) >= needed + 20


def test_the_analysts_role_has_the_settings_that_the_embedded_stack_gives_it() -> None:
    for cluster in of_kind(documents(PLATFORM / "postgres.yaml"), "Cluster").values():
        said = cluster["spec"]["bootstrap"]["initdb"]["postInitSQL"]
        wanted = [f"ALTER ROLE {ANALYST} SET {name} = '{value}'" for name, value in ANALYST_SETTINGS.items()]
        assert said == [f"CREATE ROLE {ANALYST}", *wanted]
        (role,) = [each for each in cluster["spec"]["managed"]["roles"] if each["name"] == ANALYST]
        assert role["connectionLimit"] == 10


def test_every_service_has_a_database_a_role_and_a_migration_of_its_own() -> None:
    found = documents(PLATFORM / "postgres.yaml")
    roles = {
        role["name"]: role["passwordSecret"]["name"]
        for cluster in of_kind(found, "Cluster").values()
        for role in cluster["spec"]["managed"]["roles"]
    }
    assert roles == {f"o2c_{name}": f"o2c-{name}-database" for name in (*SERVICES, "analyst", "reader")}
    databases = of_kind(found, "Database").values()
    assert {each["spec"]["name"]: each["spec"]["owner"] for each in databases} == {
        Settings().database_prefix + name: f"o2c_{name}" for name in services()
    }
    (job,) = documents(KUBERNETES / "migrations" / "job.yaml")
    # Each may start once more, and waits for its database itself: a migration that is wrong is known within minutes.
    assert job["spec"]["backoffLimit"] == len(SERVICES)
    migrations = {each["name"]: each for each in job["spec"]["template"]["spec"]["containers"]}
    assert {name: each["args"] for name, each in migrations.items()} == {name: ["migrate", name] for name in SERVICES}


def database_addresses() -> list[str]:
    """Of the services, their migrations and the tool."""
    return [
        line.partition("value: ")[2]
        for path in (BASE / "service" / "deployment.yaml", BASE / "tool.yaml", KUBERNETES / "migrations" / "job.yaml")
        for line in path.read_text().splitlines()
        if "value: postgresql://" in line
    ]


def test_all_use_the_cluster_that_has_the_databases() -> None:
    (cluster,) = {
        each["spec"]["cluster"]["name"] for each in of_kind(documents(PLATFORM / "postgres.yaml"), "Database").values()
    }
    assert len(database_addresses()) == 1 + len(SERVICES) + 2
    assert {address.partition("@")[2] for address in database_addresses()} == {f"{cluster}-rw:5432?sslmode=require"}


def test_the_tool_knows_every_service() -> None:
    (base,) = documents(BASE / "kustomization.yaml")
    literals = {each["name"]: each.get("literals") for each in base["configMapGenerator"]}
    services, replicas = literals["o2c-addresses"]
    assert services == URLS + "=" + ",".join(f"{name}=http://o2c-{name}" for name in SERVICES)
    # A headless Service leads to the pods themselves, and so to their port.
    port = container()["ports"][0]["containerPort"]
    assert replicas == "O2C_REPLICA_URLS=" + ",".join(f"{name}=http://o2c-pods-{name}:{port}" for name in SERVICES)


def test_the_nightly_check_is_a_command_of_the_tool_and_does_not_fail_for_open_letters_alone() -> None:
    job = of_kind(documents(BASE / "tool.yaml"), "CronJob")["o2c-verify"]["spec"]["jobTemplate"]["spec"]
    (check,) = job["template"]["spec"]["containers"]
    command, *options = check["args"]
    tool = typer.main.get_command(app)
    assert isinstance(tool, TyperGroup)
    given = tool.commands[command].make_context(command, options).params
    assert given["allow_open_letters"]  # which is the alert DeadLettersOpen
    assert given["wait"] < job["activeDeadlineSeconds"]


def test_replicas_are_found_whether_or_not_they_are_ready() -> None:
    pods = of_kind(documents(BASE / "service" / "service.yaml"), "Service")["o2c-pods"]["spec"]
    assert (pods["clusterIP"], pods["publishNotReadyAddresses"]) == ("None", True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_the_three_steps_of_a_roll_out_and_the_monitoring(overlay: str) -> None:
    (whole,) = documents(KUBERNETES / "overlays" / overlay / "kustomization.yaml")
    assert whole["resources"] == ["platform", "migrations", "services", "../../monitoring"]


def test_what_restricted_pods_must_say_is_said_for_all_containers_of_kafka() -> None:
    """Strimzi adds a container that asks for the zone when there are racks; a fresh volume belongs to group 0."""
    pool = of_kind(documents(PLATFORM / "kafka.yaml"), "KafkaNodePool")["node"]["spec"]["template"]
    for each in ("kafkaContainer", "initContainer"):
        assert pool[each]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pool["pod"]["securityContext"]["fsGroup"] == 0
