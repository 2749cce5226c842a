"""docker-compose.yml: every service with its role, its migrations before it, its limits; nothing runs unpinned."""

import re
from typing import Any

import pytest

from o2c.stack import SERVICES
from shared.settings import Settings
from tests.deploy.files import ROOT, compose, settings_variables


def service(name: str) -> dict[str, Any]:
    return dict(compose()["services"][name])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_when_its_migrations_are_done_and_kafka_is_healthy(name: str) -> None:
    run, migration = service(name), service(f"migrate-{name}")
    assert run["command"] == ["run", name]
    assert migration["command"] == ["migrate", name]
    assert run["depends_on"] == {
        f"migrate-{name}": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
    }
    assert migration["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    address = f"postgresql://o2c_{name}:o2c_{name}@postgres:5432"
    assert run["environment"]["O2C_DATABASE_URL"] == migration["environment"]["O2C_DATABASE_URL"] == address


def test_every_setting_exists_and_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, each in compose()["services"].items():
        ours = {key: value for key, value in each.get("environment", {}).items() if key.startswith("O2C_")}
        assert ours.keys() <= settings_variables(), name
        for key, value in ours.items():
            monkeypatch.setenv(key, value)
        Settings()


def test_ports_match_the_image_and_are_open_on_this_machine_only() -> None:
    port = re.search(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert port is not None
    published = [each for name in compose()["services"] for each in service(name).get("ports", [])]
    assert all(each.startswith("127.0.0.1:") for each in published)
    assert len({each.split(":")[1] for each in published}) == len(published)
    for number, name in enumerate(SERVICES):
        assert service(name)["ports"] == [f"127.0.0.1:{7610 + number}:{port[1]}"]
        for asking in ("o2c", "analytics"):
            assert f"{name}=http://{name}:{port[1]}" in service(asking)["environment"]["O2C_SERVICE_URLS"]


def test_every_container_has_limits_and_a_pinned_image() -> None:
    for name, each in compose()["services"].items():
        assert each["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert "build" in each or re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", each["image"]), name


def test_our_containers_cannot_write_or_gain_rights() -> None:
    for name in (*SERVICES, *(f"migrate-{each}" for each in SERVICES), "o2c"):
        assert service(name)["read_only"], name
        assert service(name)["cap_drop"] == ["ALL"], name
        assert service(name)["security_opt"] == ["no-new-privileges:true"], name


def test_the_grace_period_is_longer_than_the_services_own() -> None:
    for name in SERVICES:
        seconds = int(service(name)["stop_grace_period"].removesuffix("s"))
        assert seconds >= Settings().shutdown_seconds + 15


def test_mounted_files_are_there() -> None:
    for name in compose()["services"]:
        for volume in service(name).get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume


def test_both_stages_of_the_image_have_one_pinned_base_and_it_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", text, re.M))
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases.pop())
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.M)
    assert "embedded" not in (ROOT / "requirements" / "image.lock").read_text()


def test_the_image_installs_the_versions_that_are_tested() -> None:
    pinned = {
        name: set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.M))
        for name in ("image", "run")
    }
    assert pinned["image"] < pinned["run"]
