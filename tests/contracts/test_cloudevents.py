"""Our envelope is CloudEvents 1.0 over Kafka, and we read what others write: judged by the CloudEvents SDK."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary_event,
    from_structured_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

from shared.contracts.catalogue import contracts
from shared.contracts.messages import Contract
from shared.eventsourced.facts import Fact, Meta, Recorded, fact
from shared.eventsourced.fresh import Placed
from shared.eventsourced.publishing import Says, lane_of
from shared.eventsourced.reading import Decoders, Received, read
from shared.eventsourced.relay import Outgoing, Relay
from tests.contracts.samples import samples, without_younger_fields

SAMPLES = samples()
OURS = sorted(name for name, contract in contracts().items() if contract.speaker != "inbound")
INBOUND = sorted(name for name, contract in contracts().items() if contract.speaker == "inbound")
AT = datetime(2026, 3, 2, 9, 14, 27, 518_000, UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY_BYTES_MAX = 1_000_000


@fact("contracts.Happened")
class Happened(Fact, frozen=True, gc=False):
    """Stands for whatever fact leads to the message."""

    body: str


def said(name: str) -> Outgoing:
    """The sample of a type as the relay of its speaker sends it."""
    contract = contracts()[name]
    message = msgspec.json.decode(SAMPLES[name], type=contract.message)
    says = {Happened: Says(contract.message, lambda _: message)}
    relay = Relay(contract.speaker, says, "", "", lambda: None, records_max=1, poll_ms=1, heads_seconds=1)
    key = getattr(message, contract.key)
    at_us = (AT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    recorded = Recorded(f"stream-{key}", 7, Happened(name), Meta(at=at_us, trace=TRACE))
    return relay._message(Placed(recorded, lane_of(key), 12))


def event_of(name: str) -> tuple[Contract, Any]:
    """The message of a type as the SDK reads it; it raises for what breaks CloudEvents 1.0."""
    outgoing = said(name)
    assert len({header for header, _ in outgoing.headers}) == len(outgoing.headers), "each header once"
    message = KafkaMessage(headers=dict(outgoing.headers), key=outgoing.key, value=outgoing.value)
    return contracts()[name], from_binary_event(message)


@pytest.mark.parametrize("name", OURS)
def test_what_we_say_is_a_cloudevent(name: str) -> None:
    contract, event = event_of(name)
    assert isinstance(event, CloudEvent)
    assert event.get_specversion() == "1.0"
    assert event.get_type() == name
    assert event.get_source() == f"/o2c/{contract.speaker}"
    assert event.get_time() == AT
    assert event.get_datacontenttype() == "application/json"
    kept = msgspec.json.decode(SAMPLES[name])
    assert without_younger_fields(event.get_data(), kept) == kept


@pytest.mark.parametrize("name", OURS)
def test_its_attributes_follow_the_rules_of_cloudevents_1_0(name: str) -> None:
    """What the SDK does not look at: the source is a URI reference, no value has control characters."""
    _, event = event_of(name)
    attributes = event.get_attributes()
    assert urlsplit(event.get_source()).path.startswith("/")
    texts = [value for value in attributes.values() if isinstance(value, str)]
    assert all(text and text.isprintable() for text in texts)
    assert all(len(attribute) <= 20 and attribute.isalnum() and attribute.islower() for attribute in attributes)


@pytest.mark.parametrize("name", OURS)
def test_it_is_addressed_as_its_contract_says(name: str) -> None:
    contract, event = event_of(name)
    body = event.get_data()
    assert event.get_subject() == body[contract.subject]
    assert event.get_extension("partitionkey") == body[contract.key]
    assert int(event.get_extension("lane")) == lane_of(body[contract.key])
    assert int(event.get_extension("lanesequence")) == 12


def test_the_id_is_unique_within_its_source() -> None:
    _, event = event_of("o2c.order.OrderPlaced.v1")
    assert event.get_id() == "stream-C-1042@7"


def test_the_trace_travels_beside_the_event() -> None:
    headers = dict(said("o2c.order.OrderPlaced.v1").headers)
    assert headers["traceparent"] == TRACE.encode()


def received(name: str, message: KafkaMessage) -> Received:
    """A record of an outside sender, read as our services do."""
    headers = tuple(message.headers.items())
    record = SimpleNamespace(
        topic=contracts()[name].topic,
        partition=0,
        offset=0,
        timestamp=0,
        key=message.key,
        value=message.value,
        headers=headers,
    )
    item = read(record, {}, BODY_BYTES_MAX)
    item.open()
    return item


def outside_event(name: str) -> CloudEvent:
    """An event as a backend makes it with the SDK."""
    body = msgspec.json.decode(SAMPLES[name])
    attributes = {
        "id": f"shop-{name}",
        "type": name,
        "source": "https://shop.example/checkout",
        "time": AT,
        "subject": body[contracts()[name].subject],
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, body)


@pytest.mark.parametrize("written", [to_binary_event, to_structured_event], ids=["binary", "structured"])
@pytest.mark.parametrize("name", INBOUND)
def test_we_read_what_the_sdk_writes(name: str, written: Any) -> None:
    contract = contracts()[name]
    item = received(name, written(outside_event(name)))
    assert item.poison is None
    assert (item.id, item.type) == (f"shop-{name}", name)
    heard = item.heard()
    body = msgspec.json.decode(SAMPLES[name])
    assert (heard.at, heard.corr) == (AT, body[contract.subject])
    decoders = Decoders(contracts(), {contract.message: None})
    assert decoders.decode(item) == msgspec.json.decode(SAMPLES[name], type=contract.message)


def test_an_event_written_by_hand_is_the_same_to_the_sdk_and_to_us() -> None:
    body = SAMPLES["o2c.inbound.Payment.v1"]
    envelope = b'{"specversion":"1.0","id":"p-1","source":"/bank","type":"o2c.inbound.Payment.v1","data":%s}' % body
    message = KafkaMessage({"content-type": b"application/cloudevents+json"}, None, envelope)
    assert from_structured_event(message).get_type() == received("o2c.inbound.Payment.v1", message).type
