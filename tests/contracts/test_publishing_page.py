"""The examples in docs/publishing.md run, and say what we understand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Self

import aiokafka
import msgspec
import pytest

from o2c.documents.written import ROOT
from services.order.api import OrderBody
from shared.contracts.catalogue import INBOUND_TOPICS, contracts
from shared.contracts.inbound import Order, Payment
from shared.eventsourced.reading import Decoders, read
from tests.contracts.test_cloudevents import said

PAGE = (ROOT / "docs" / "publishing.md").read_text("utf-8")
LISTENING = PAGE.index("## Listening")


def block(language: str, after: int = 0) -> str:
    found = re.compile(rf"```{language}\n(.*?)```", re.DOTALL).search(PAGE, after)
    assert found is not None
    return found.group(1)


class Client:
    """Stands for aiokafka's producer and consumer: keeps what is sent, gives what was said."""

    sent: list[SimpleNamespace]
    said: list[SimpleNamespace]

    def __init__(self, *topics: str, **options: Any) -> None:
        assert "bootstrap_servers" in options

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send_and_wait(self, topic: str, value: bytes, *, key: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.sent.append(record(topic, value, key, headers))

    async def __aiter__(self) -> AsyncIterator[SimpleNamespace]:
        for each in self.said:
            yield each


def record(topic: str, value: bytes, key: bytes | None, headers: Any) -> SimpleNamespace:
    return SimpleNamespace(
        topic=topic, value=value, key=key, headers=tuple(headers), partition=0, offset=0, timestamp=0
    )


def understood(it: SimpleNamespace, kind: type[Any]) -> Any:
    received = read(it, {}, 1_000_000)
    received.open()
    assert received.poison is None
    return Decoders(contracts(), {kind: None}).decode(received)


def test_the_binary_example_publishes_an_order_that_we_understand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka, "AIOKafkaProducer", Client)
    monkeypatch.setattr(Client, "sent", [], raising=False)
    exec(block("python"), {})
    [sent] = Client.sent
    assert (sent.topic, sent.key) == ("o2c.inbound.orders", b"C-42")
    order = understood(sent, Order)
    assert (order.order_id, order.lines[0].unit_price_minor, order.placed_at.utcoffset() is None) == (
        "O-1",
        1250,
        False,
    )


def test_the_structured_example_is_a_payment_that_we_understand() -> None:
    headers = [("content-type", b"application/cloudevents+json")]
    payment = understood(record("o2c.inbound.payments", block("json").encode(), None, headers), Payment)
    assert (payment.payment_id, payment.amount_minor) == ("PAY-7781", 3000)


def test_the_body_of_the_curl_example_is_an_order() -> None:
    body = re.search(r"-d '(.*?)'", block("sh"), re.DOTALL)
    assert body is not None
    assert OrderBody.model_validate_json(body.group(1)).order_id == "O-1"


def test_the_table_of_inbound_topics_is_complete() -> None:
    for topic in INBOUND_TOPICS:
        here = [contract for contract in contracts().values() if contract.topic == topic]
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{topic}`")]
        assert set(re.findall(r"`([^`]+)`", row)) == {topic, *(c.name for c in here), *(c.key for c in here)}


def test_the_listening_example_drops_repeats_and_what_is_behind_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", Client)
    first, second = (said(name) for name in ("o2c.order.OrderPlaced.v1", "o2c.order.PriceChanged.v1"))
    spoken = [record("o2c.order.events", each.value, each.key, each.headers) for each in (first, second, first)]
    monkeypatch.setattr(Client, "said", spoken, raising=False)
    program: dict[str, Any] = {}
    exec(block("python", LISTENING), program)
    heard: list[Any] = []
    positions: dict[Any, int] = {(b"/o2c/order", str(each.lane).encode()): 11 for each in (first, second)}
    asyncio.run(program["listen"]("o2c.order.events", positions, lambda kind, body: heard.append((kind, body))))
    assert [kind for kind, _ in heard] == ["o2c.order.OrderPlaced.v1", "o2c.order.PriceChanged.v1"]
    assert heard[0][1] == json.loads(first.value) == msgspec.json.decode(first.value)
    assert set(positions.values()) == {12}
    positions = dict.fromkeys(positions, 10)
    asyncio.run(program["listen"]("o2c.order.events", positions, lambda kind, body: heard.append((kind, body))))
    assert len(heard) == 2
    assert set(positions.values()) == {10}
