"""Kafka records → what was received: CloudEvents envelopes read tolerantly; nothing in a record can raise here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from shared.contracts.messages import Contract
from shared.contracts.shape import problems_of
from shared.errors import ContractError, Problem
from shared.eventsourced.letters import Letter, storable
from shared.eventsourced.policy import Heard
from shared.eventsourced.publishing import SEQUENCE_MAX, lane_of_bytes, source_of
from shared.tracing import traceparent_of

ID_BYTES_MAX = 512
"""Longest id, type or subject header we take."""
_RECORD_MS_MAX = 253_402_300_799_000
"""The last second of the year 9999: a sender that counts in other units may name any number."""


class Attributes(msgspec.Struct, gc=False):
    """The headers of a record that mean something here: CloudEvents attributes; None for those that are missing."""

    type: bytes | None = None
    id: bytes | None = None
    source: bytes | None = None
    time: bytes | None = None
    subject: bytes | None = None
    lane: bytes | None = None
    sequence: bytes | None = None
    traceparent: bytes | None = None
    content_type: bytes | None = None


_NAMES = (
    "ce_type",
    "ce_id",
    "ce_source",
    "ce_time",
    "ce_subject",
    "ce_lane",
    "ce_lanesequence",
    "traceparent",
    "content-type",
)
"""Of the headers, in the order of the attributes."""


class Received(msgspec.Struct, gc=False):
    """One record. `speaker` "" and `lane` -1 for inbound messages, which have no position. `poison`: why unreadable.

    `id` and `type` are "" until it is opened, and of a poisoned one for ever, if it has none.
    """

    record: Any
    attributes: Attributes
    body: bytes
    body_bytes_max: int
    id: str = ""
    type: str = ""
    speaker: str = ""
    lane: int = -1
    sequence: int = 0
    poison: Exception | None = None

    def open(self) -> None:
        """Look at what is behind the place: identity, type and size. Of repeats, which are dropped, nobody asks it."""
        if self.id or self.poison is not None:
            return
        if not self.speaker and _is_structured(self.attributes):
            _open_structured(self)
            return
        try:
            self.id = _required(self.attributes.id, "ce_id")
            self.type = _required(self.attributes.type, "ce_type")
        except ContractError as error:
            self.poison = error
            return
        if len(self.body) > self.body_bytes_max:
            self.poison = _too_large(self)

    @property
    def stream(self) -> str:
        """The speaker's stream: our ids read `stream@version`. Inbound messages do not wait for each other."""
        return storable(self.id.rpartition("@")[0]) if self.speaker else ""

    @property
    def subject(self) -> bytes:
        """What the message is about, as its sender names it; empty if nothing was said."""
        return self.attributes.subject or b""

    @property
    def said_at(self) -> datetime:
        """When the message was said; the record's own time if the sender gave none that can be read."""
        return _instant(self.attributes.time, self.record.timestamp)

    def heard(self) -> Heard:
        """The envelope as policies see it."""
        return Heard(
            self.id,
            self.type,
            self.said_at,
            _text(self.subject),
            traceparent_of(self.attributes.traceparent),
            self.stream,
        )

    def letter(self) -> Letter:
        """The record as it came, to be kept as a dead letter."""
        record = self.record
        return Letter(
            message_id=self.id,
            type=self.type,
            stream=self.stream,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            headers=tuple((str(name), value or b"") for name, value in record.headers),
            key=record.key,
            body=record.value or b"",
        )


def read(record: Any, speakers: Mapping[str, str], body_bytes_max: int) -> Received:
    """A record and its place. `speakers`: topic → speaker, for topics whose messages have positions."""
    attributes = attributes_of(record.headers)
    received = Received(record, attributes, record.value or b"", body_bytes_max)
    speaker = speakers.get(record.topic)
    if speaker is not None:
        # First of all the position: with it a lane goes on behind a message that is wrong in whatever else.
        try:
            received.lane, received.sequence = _position(attributes, record.key, speaker)
        except ValueError:
            received.poison = _no_position(record.topic)
            return received
        received.speaker = speaker
    return received


def attributes_of(headers: Sequence[tuple[str, bytes | None]]) -> Attributes:
    """By place where all ten stand as our relays write them, at half the cost; else by name, where the last of several
    with one name counts."""
    match headers:
        case [
            ("ce_type", kind),
            ("ce_id", id_),
            ("ce_source", source),
            ("ce_specversion", _),
            ("ce_time", time),
            ("ce_subject", subject),
            ("ce_lane", lane),
            ("ce_lanesequence", sequence),
            ("traceparent", traceparent),
            ("content-type", content_type),
        ]:
            return Attributes(kind, id_, source, time, subject, lane, sequence, traceparent, content_type)
    return _by_name(headers)


def _by_name(headers: Sequence[tuple[str, bytes | None]]) -> Attributes:
    return Attributes(*map(dict(headers).get, _NAMES))


def _is_structured(attributes: Attributes) -> bool:
    kind = attributes.content_type or b""
    return not attributes.type and kind.startswith(b"application/cloudevents+json")


def _position(attributes: Attributes, key: bytes | None, speaker: str) -> tuple[int, int]:
    """The place that the speaker gave. What is of another source or in a lane that is not its key's takes no place:
    it would take that of a true message, which would then be a repeat."""
    lane, sequence = int(attributes.lane or b""), int(attributes.sequence or b"")
    if not 0 < sequence < SEQUENCE_MAX:
        raise ValueError("sequence out of range")
    if attributes.source != source_of(speaker) or lane != lane_of_bytes(key or b""):
        raise ValueError("not the speaker's own")
    return lane, sequence


def _no_position(topic: str) -> ContractError:
    return ContractError([Problem("ce_lanesequence", "position", f"{topic} takes only messages of its own speaker")])


def _too_large(received: Received) -> ContractError:
    what = f"the body has {len(received.body)} bytes; at most {received.body_bytes_max} are taken"
    return ContractError([Problem("", "too_large", what)])


def _required(value: bytes | None, name: str) -> str:
    if not value:
        raise ContractError([Problem(name, "missing", "this CloudEvents attribute is required")])
    if len(value) > ID_BYTES_MAX:
        raise ContractError([Problem(name, "too_long", f"at most {ID_BYTES_MAX} bytes are taken")])
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ContractError([Problem(name, "encoding", "must be UTF-8")]) from None
    if not text.isprintable():
        raise ContractError([Problem(name, "characters", "must have no control characters")])
    return text


class _Envelope(msgspec.Struct):
    id: str
    type: str
    data: msgspec.Raw
    time: str = ""
    subject: str = ""
    traceparent: str = ""


def _open_structured(received: Received) -> None:
    """CloudEvents in structured JSON mode, which outside senders may use."""
    if len(received.body) > received.body_bytes_max:
        received.poison = _too_large(received)
        return
    try:
        envelope = msgspec.json.decode(received.body, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        received.poison = ContractError([Problem("", "envelope", f"no CloudEvent: {error}")])
        return
    received.body = bytes(envelope.data)
    for name in ("time", "subject", "traceparent"):
        setattr(received.attributes, name, getattr(envelope, name).encode("utf-8", "replace"))
    given = [text.encode("utf-8", "replace") for text in (envelope.id, envelope.type)]
    received.id, received.type = map(_text, given)  # what a letter keeps of them, if they are wrong
    try:
        for text, name in zip(given, ("id", "type"), strict=True):
            _required(text, name)
    except ContractError as error:
        received.poison = error


@lru_cache(maxsize=1024)  # the messages of one batch mostly share their instant
def _parsed(value: bytes) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value.decode("ascii"))
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _instant(value: bytes | None, record_ms: int) -> datetime:
    said = _parsed(value[:64]) if value else None
    return said if said is not None else datetime.fromtimestamp(min(max(record_ms, 0), _RECORD_MS_MAX) / 1000, UTC)


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace").replace("\x00", "")[:ID_BYTES_MAX] if value else ""


class Decoders:
    """Bodies → messages, for the types a service hears; made once."""

    def __init__(self, contracts: Mapping[str, Contract], heard: Mapping[type[Any], Any]) -> None:
        self._decoders = {
            name: msgspec.json.Decoder(contract.message)
            for name, contract in contracts.items()
            if contract.message in heard
        }
        self._topics = {name: contracts[name].topic for name in self._decoders}
        self._unversioned = {name.rpartition(".v")[0] for name in self._decoders}

    def hears(self, received: Received) -> bool:
        """Whether this message concerns the service. Everything inbound does, and versions we cannot read yet."""
        name = received.type
        return not received.speaker or name in self._decoders or name.rpartition(".v")[0] in self._unversioned

    def decode(self, received: Received) -> Any:
        """The message. ContractError: unknown type or version, wrong topic, no JSON or not of its shape."""
        decoder = self._decoders.get(received.type)
        if decoder is None:
            known = received.type.rpartition(".v")[0] in self._unversioned
            code, what = ("unknown_version", "version of this type") if known else ("unknown_type", "type")
            raise ContractError([Problem("ce_type", code, f"{received.type} is no {what} that is known here")])
        if received.record.topic != self._topics[received.type]:
            # Anybody may write to the inbound topics: what a service says is believed on its own topic only.
            what = f"{received.type} is not taken from {received.record.topic}"
            raise ContractError([Problem("ce_type", "wrong_topic", what)])
        try:
            return _decoded(received.body, decoder)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ContractError([Problem("", "not_json", f"the body is not JSON: {error}")]) from None


def _decoded(body: bytes, decoder: Any) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # A wrong value may come before the place where the JSON breaks off, so this may raise DecodeError still.
        problems = problems_of(body, decoder.type)
        raise ContractError(problems or [Problem("", "shape", str(error))]) from None
