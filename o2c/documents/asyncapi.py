"""The whole system as one AsyncAPI 3.0 document: a channel per topic, what each service sends and receives.

It is made from the contracts and the services' `SAYS` and `HEARS`. FastStream could make a document from its
subscribers, but ours take batches of raw records, so it would show an array of bytes where the messages are, and it
would know neither what the relays send nor the CloudEvents headers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from o2c.documents.flow import NAMES, OUTSIDE, Services, heard_by, said_by
from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS, contracts
from shared.contracts.messages import Contract
from shared.contracts.schemas import schemas_of
from shared.eventsourced.publishing import LANES
from shared.kafka import dead_letter_topic

Part = dict[str, Any]

KAFKA_BINDING = "0.5.0"

_TEXT: Part = {"type": "string", "minLength": 1}


def asyncapi(services: Services, version: str, samples: Mapping[str, Any]) -> Part:
    """docs/asyncapi.json. `samples`: message type → a body, shown as example."""
    said = sorted(contracts().values(), key=lambda contract: contract.name)
    return {
        "asyncapi": "3.0.0",
        "info": _info(version),
        "defaultContentType": "application/json",
        "channels": {**_channels(said), **_dead_letter_channels(services)},
        "operations": _operations(services),
        "components": {
            "messages": {c.name: _message(c, samples.get(c.name)) for c in said} | {"DeadLetter": _dead_letter()},
            "schemas": {**_header_schemas(), **schemas_of(said, "#/components/schemas/{name}")},
        },
    }


def _info(version: str) -> Part:
    return {
        "title": "O2C",
        "version": version,
        "description": (
            "Order to cash as six services that talk over Kafka. Every message is a CloudEvent 1.0 in Kafka's binary "
            "mode with a JSON body; on the inbound topics structured mode is taken too. Operations are named after "
            "the service that sends or receives. Bodies may gain optional fields; ignore what you do not know."
        ),
    }


# ---- channels and operations


def _channels(said: Iterable[Contract]) -> Part:
    channels: Part = {}
    for topic in (*(speaker.topic for speaker in SPEAKERS.values()), *INBOUND_TOPICS):
        here = [contract for contract in said if contract.topic == topic]
        who = f"What {here[0].speaker} says." if here[0].speaker != OUTSIDE else "What the outside world says to us."
        channels[topic] = {
            "address": topic,
            "description": who,
            "messages": {c.name: {"$ref": f"#/components/messages/{c.name}"} for c in here},
            "bindings": {"kafka": {"topic": topic, "bindingVersion": KAFKA_BINDING}},
        }
    return channels


def _dead_letter_channels(services: Services) -> Part:
    return {
        dead_letter_topic(name): {
            "address": dead_letter_topic(name),
            "description": f"Messages that {name} could not process, as they came, with the reason in the headers. "
            "A copy for watching: the service keeps, retries and drops them itself.",
            "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
        }
        for name in services
    }


def _operations(services: Services) -> Part:
    operations: Part = {}
    for name in NAMES:
        if name not in services:
            continue
        for topic, said in _by_topic(said_by(services[name])).items():
            operations[f"{name}.sends.{topic}"] = _operation("send", topic, said, f"{name} says what has happened")
        for topic, heard in _by_topic(heard_by(services[name])).items():
            speaker = "the outside world" if heard[0].speaker == OUTSIDE else heard[0].speaker
            operations[f"{name}.receives.{topic}"] = _operation("receive", topic, heard, f"{name} hears {speaker}")
        letters = dead_letter_topic(name)
        operations[f"{name}.sends.{letters}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{letters}"},
            "summary": f"{name} tells what it could not process",
        }
    return operations


def _operation(action: str, topic: str, messages: Iterable[Contract], summary: str) -> Part:
    refs = [{"$ref": f"#/channels/{topic}/messages/{contract.name}"} for contract in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "summary": summary, "messages": refs}


def _by_topic(said: Iterable[Contract]) -> dict[str, list[Contract]]:
    topics: dict[str, list[Contract]] = {}
    for contract in said:
        topics.setdefault(contract.topic, []).append(contract)
    return dict(sorted(topics.items()))


# ---- messages


def _message(contract: Contract, sample: Any) -> Part:
    name = contract.message.__name__
    envelope = "InboundHeaders" if contract.speaker == OUTSIDE else "SpokenHeaders"
    kind: Part = {"type": "object", "properties": {"ce_type": {"const": contract.name}}}
    message: Part = {
        "name": contract.name,
        "title": name,
        "summary": " ".join((contract.message.__doc__ or "").split()),
        "contentType": "application/json",
        "headers": {"allOf": [{"$ref": f"#/components/schemas/{envelope}"}, kind]},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "correlationId": {"description": f"The {contract.subject}.", "location": "$message.header#/ce_subject"},
        "bindings": {"kafka": {"key": _key(contract), "bindingVersion": KAFKA_BINDING}},
    }
    return message | {"examples": [{"name": name, "payload": sample}]} if sample is not None else message


def _key(contract: Contract) -> Part:
    return {"type": "string", "description": f"The body's `{contract.key}`, in UTF-8."}


def _dead_letter() -> Part:
    return {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A message that could not be processed, as it came.",
        "headers": {"$ref": "#/components/schemas/LetterHeaders"},
        "payload": {"description": "The bytes as they came; they may be no JSON."},
    }


def _header_schemas() -> dict[str, Part]:
    return {
        "InboundHeaders": _inbound_headers(),
        "SpokenHeaders": _spoken_headers(),
        "LetterHeaders": _letter_headers(),
    }


def _inbound_headers() -> Part:
    """What a record on an inbound topic needs; we look at no other header."""
    return {
        "type": "object",
        "title": "InboundHeaders",
        "description": "CloudEvents attributes in binary mode. In structured mode there is none of them, but "
        "`content-type: application/cloudevents+json`, and the attributes are in the body.",
        "required": ["ce_id", "ce_type"],
        "properties": {
            "ce_id": _TEXT | {"maxLength": 512, "description": "The event's identity at its source."},
            "ce_type": _TEXT | {"maxLength": 512, "description": "The message type."},
            "ce_source": _TEXT | {"format": "uri-reference", "description": "Who says it; CloudEvents requires it."},
            "ce_specversion": {"const": "1.0", "description": "CloudEvents requires it."},
            "ce_time": {"type": "string", "format": "date-time", "description": "When it was said; else record time."},
            "ce_subject": {"type": "string", "description": "The order or other root that it is about."},
            "traceparent": {"type": "string", "description": "W3C trace context; the trace goes on with us."},
            "content-type": {"const": "application/json"},
        },
    }


def _spoken_headers() -> Part:
    """What the relay writes: see `shared/eventsourced/relay.py`."""
    headers = {
        "ce_id": _TEXT | {"description": "`stream@version`: the same in every copy of this message."},
        "ce_type": _TEXT | {"description": "The message type."},
        "ce_source": _TEXT | {"format": "uri-reference", "description": "`/o2c/` and the service that speaks."},
        "ce_specversion": {"const": "1.0"},
        "ce_time": {"type": "string", "format": "date-time", "description": "When the fact was recorded, UTC."},
        "ce_subject": _TEXT | {"description": "The order or other root that it is about."},
        "ce_lane": {"type": "string", "pattern": "^[0-9]+$", "description": f"CRC-32 of the key modulo {LANES}."},
        "ce_lanesequence": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Counts 1, 2, 3 … without gaps per source and lane: what is not greater than the last one "
            "you took is a repeat. A decimal number: compare it as one, not as text.",
        },
        "traceparent": {"type": "string", "description": "W3C trace context; empty when the work had none."},
        "content-type": {"const": "application/json"},
    }
    return {"type": "object", "title": "SpokenHeaders", "required": list(headers), "properties": headers}


def _letter_headers() -> Part:
    headers = {
        "o2c_letter": {"type": "string", "pattern": "^[0-9]+$", "description": "The letter's number at its service."},
        "o2c_code": _TEXT | {"description": "Why, for programs."},
        "o2c_reason": {"type": "string", "description": "Why, for people."},
        "o2c_topic": _TEXT | {"description": "Where the message was heard."},
        "ce_id": {"type": "string", "description": "The message's id; empty when it had none."},
        "ce_type": {"type": "string", "description": "The message's type; empty when it had none."},
    }
    return {"type": "object", "title": "LetterHeaders", "required": list(headers), "properties": headers}
