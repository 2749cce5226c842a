"""Bytes ↔ facts and states: the only file that knows how things are stored.

A stored fact is JSON `{"v": version, "d": {fields}, "m": {meta}}` under its stored name. Built on the mapper of the
eventsourcing library, so its tools can read our stores.
"""

from functools import cache
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import resolve_topic

from shared.errors import ContractError, Problem
from shared.eventsourced.facts import Meta, Recorded, stored_name, stored_version
from shared.values import Map

T = TypeVar("T")


class _Stored(msgspec.Struct, Generic[T], frozen=True, gc=False):
    v: int
    d: T
    m: Meta


def _encode_map(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(f"{type(value)} cannot be stored")


def _decode_map(kind: type[Any], value: Any) -> Any:
    if (get_origin(kind) or kind) is Map:
        arguments = get_args(kind) or (Any, Any)
        return Map(msgspec.convert(value, dict[arguments], dec_hook=_decode_map, str_keys=True))  # type: ignore[valid-type,misc]
    raise NotImplementedError(f"{kind} cannot be read")


_encode = msgspec.json.Encoder(enc_hook=_encode_map).encode


class JsonTranscoder(Transcoder):
    """JSON by msgspec, as the eventsourcing library wants a transcoder to be."""

    def encode(self, obj: Any) -> bytes:
        return _encode(obj)

    def decode(self, data: bytes) -> Any:
        return msgspec.json.decode(data)


class FactMapper(Mapper[str]):
    """Between `Recorded` facts and the library's `StoredEvent`."""

    def __init__(self) -> None:
        super().__init__(JsonTranscoder())

    def to_stored_event(self, recorded: Recorded) -> StoredEvent:  # type: ignore[override]
        topic, state = encode_fact(recorded.fact, recorded.meta)
        return StoredEvent(recorded.originator_id, recorded.originator_version, topic, state)

    def to_domain_event(self, stored: StoredEvent) -> Recorded:
        return decode_fact(str(stored.originator_id), stored.originator_version, stored.topic, stored.state)


def encode_fact(fact: Any, meta: Meta) -> tuple[str, bytes]:
    """The stored name and the bytes of a fact."""
    cls = type(fact)
    return stored_name(cls), _encode(_Stored(stored_version(cls), fact, meta))


def decode_fact(stream: str, version: int, topic: str, state: bytes) -> Recorded:
    """The fact at its place, brought to the current version. Raises msgspec.DecodeError for bytes that are no fact."""
    decode, prefix, cls = _reader(topic)
    stored = decode(state) if state.startswith(prefix) else _upcast(cls, state)
    return Recorded(stream, version, stored.d, stored.m)


@cache  # one entry per declared fact
def _reader(topic: str) -> tuple[Any, bytes, type[Any]]:
    cls: Any = resolve_topic(topic)
    return msgspec.json.Decoder(_Stored[cls]).decode, b'{"v":%d,' % stored_version(cls), cls


def _upcast(cls: type[Any], state: bytes) -> _Stored[Any]:
    raw = msgspec.json.decode(state, type=_Stored[dict[str, Any]])
    if raw.v > stored_version(cls):
        newer = f"{stored_name(cls)} version {raw.v} was written by a newer release than this one"
        raise ContractError([Problem("v", "unknown_version", newer)])
    for version in range(raw.v, stored_version(cls)):
        getattr(cls, f"upcast_v{version}_v{version + 1}")(raw.d)
    return _Stored(stored_version(cls), msgspec.convert(raw.d, cls), raw.m)


def encode_state(state: Any) -> bytes:
    """A folded state as a snapshot's bytes."""
    return _encode(state)


def decode_state(kind: type[T], data: bytes) -> T:
    """A folded state from a snapshot's bytes. Raises msgspec.ValidationError when the state's shape has changed."""
    return msgspec.json.decode(data, type=kind, dec_hook=_decode_map)
