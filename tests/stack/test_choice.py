"""Which broker the tests run on: the order, and that a required Kafka cannot be replaced unseen."""

import pytest

from tests.support.brokers import NoKafkaError, choose_broker, choose_postgres


def _there(*_: str) -> str:
    return ""


def _absent(*_: str) -> str:
    return "not here"


@pytest.mark.parametrize("required", ["", "1"])
@pytest.mark.parametrize(
    ("given", "docker", "java", "kind"),
    [
        ("127.0.0.1:1", _there, _there, "given"),
        ("127.0.0.1:1", _absent, _absent, "given"),
        ("", _there, _there, "docker"),
        ("", _there, _absent, "docker"),
        ("", _absent, _there, "kafka"),
    ],
)
def test_the_order_of_choice(required: str, given: str, docker, java, kind: str) -> None:  # type: ignore[no-untyped-def]
    environment = {"O2C_TEST_KAFKA_SERVERS": given, "O2C_REQUIRE_KAFKA": required}
    assert choose_broker(environment, docker, java).kind == kind


def test_the_embedded_broker_is_the_last_and_says_why() -> None:
    choice = choose_broker({}, _absent, _absent)
    assert choice.kind == "embedded"
    assert "not here" in choice.sentence
    assert "\n" not in choice.sentence


def test_a_required_kafka_is_not_replaced() -> None:
    with pytest.raises(NoKafkaError, match="not here"):
        choose_broker({"O2C_REQUIRE_KAFKA": "1"}, _absent, _absent)


def test_postgres_is_given_or_docker_or_embedded() -> None:
    assert choose_postgres({"O2C_TEST_DATABASE_URL": "postgresql://u@h/"}, _there).address == "postgresql://u@h"
    assert choose_postgres({}, _there).kind == "docker"
    assert choose_postgres({}, _absent).kind == "embedded"
