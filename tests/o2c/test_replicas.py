"""Every replica behind one name is asked: what `o2c status` prints of several, and with which exit code it ends."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from o2c.addresses import URLS
from o2c.main import app
from shared.replicas import replicas_of
from tests.o2c.fakes import serving
from tests.o2c.test_commands import status

REPLICAS = "O2C_REPLICA_URLS"
NAMES: dict[str, Sequence[str]] = {
    "one": ["127.0.0.1"],
    "two": ["127.0.0.2", "127.0.0.1"],
    "loopback": ["::1", "127.0.0.1"],
    "dual": ["fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1"],
    "six": ["fd00::2", "fd00::1", "10.0.0.1"],
}


async def resolve(name: str) -> Sequence[str]:
    """What name servers would say."""
    if name not in NAMES:
        raise OSError(f"{name} is not known")
    return NAMES[name]


@pytest.fixture(autouse=True)
def name_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shared.replicas.looked_up", resolve)
    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))


def o2c(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answering(**more: Any) -> dict[str, tuple[int, Any]]:
    return {"GET /status": (200, status(**more)), "POST /replay": (202, {"again": True})}


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give order this address and no other."""

    def name(url: str) -> None:
        monkeypatch.setenv(URLS, f"order={url}")

    return name


# ---- whom a name leads to


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://one:8080", ["http://one:8080"]),
        ("http://unknown:8080", ["http://unknown:8080"]),
        ("http://loopback:8080/base", ["http://loopback:8080/base"]),
        ("http://two:8080/base", ["http://127.0.0.1:8080/base", "http://127.0.0.2:8080/base"]),
        ("https://two", ["https://127.0.0.1", "https://127.0.0.2"]),
        ("http://dual:8080", ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]),
        ("http://six:8080", ["http://[fd00::1]:8080", "http://[fd00::2]:8080"]),
    ],
)
async def test_several_addresses_of_one_family_are_several_replicas(url: str, expected: list[str]) -> None:
    assert [each.url for each in await replicas_of(url, resolve)] == expected


async def test_name_servers_that_say_nothing_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("shared.replicas.LOOKUP_SECONDS_MAX", 0.05)
    assert [each.url for each in await replicas_of("http://two:8080", silent)] == ["http://two:8080"]


async def test_a_replica_is_asked_as_by_its_name() -> None:
    first, second = await replicas_of("https://two:8443", resolve)
    assert first.options == second.options
    assert first.options == {"headers": {"Host": "two:8443"}, "extensions": {"sni_hostname": "two"}}


# ---- what the operator sees


def test_every_replica_has_a_row(named: Callable[[str], None]) -> None:
    with serving(answering()) as one, serving(answering(events=8), "127.0.0.2", one.port) as two:
        named(f"http://two:{one.port}")
        table = o2c("status")
        found = o2c("status", "--json")
        assert one.hosts == two.hosts == [f"two:{one.port}"] * 2
    assert table.exit_code == found.exit_code == 0
    head, *rows = [line.split()[:4] for line in table.stdout.splitlines()]
    assert head[:3] == ["service", "replica", "state"]
    assert rows == [["order", "127.0.0.1", "ready", "7"], ["order", "127.0.0.2", "ready", "8"]]
    said = json.loads(found.stdout)
    assert [(each["address"], each["events"]) for each in said["replicas"]["order"]] == [
        ("127.0.0.1", 7),
        ("127.0.0.2", 8),
    ]
    assert said["services"]["order"]["events"] == 7


def test_one_replica_that_is_not_ready_ends_with_1_and_one_that_is_away_with_3(named: Callable[[str], None]) -> None:
    unready = answering(missing={"kafka": "is away"})
    with serving(unready) as one:
        named(f"http://two:{one.port}")
        with serving(answering(events=8), "127.0.0.2", one.port):
            waits = o2c("status", "--json")
        away = o2c("status", "--json")
    assert (waits.exit_code, away.exit_code) == (1, 3)
    assert json.loads(waits.stdout)["services"]["order"]["address"] == "127.0.0.2"  # a ready one speaks for all
    first, second = json.loads(away.stdout)["replicas"]["order"]
    assert "unreachable" not in first
    assert "does not answer at http://127.0.0.2" in second["unreachable"]


def test_a_service_without_replicas_is_unreachable(named: Callable[[str], None]) -> None:
    named("http://unknown.invalid:8080")
    result = o2c("status", "--json")
    assert result.exit_code == 3
    assert "does not answer" in json.loads(result.stdout)["services"]["order"]["unreachable"]


def test_the_replicas_may_have_a_name_of_their_own(
    named: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answering()) as service, serving(answering(events=8), "127.0.0.2", service.port) as other:
        named(service.url)
        monkeypatch.setenv(REPLICAS, f"order=http://two:{service.port}")
        assert len(json.loads(o2c("status", "--json").stdout)["replicas"]["order"]) == 2
        assert o2c("replay", "order").exit_code == 0
        assert (service.requests, other.requests) == (["GET /status", "POST /replay"], ["GET /status"])
