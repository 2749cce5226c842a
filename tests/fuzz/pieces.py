"""Records that should not be: made from a seed, each with what must become of it at every service that hears it.

Whatever is valid by chance, or takes a position, belongs to keys of odd or even lanes: see `on_lane`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from random import Random
from typing import Any

import msgspec

from o2c.documents.flow import load_services
from o2c.outside.envelope import envelope
from shared.contracts.catalogue import SPEAKERS, contracts
from shared.contracts.inbound import Customer, Order, Payment, Receipt, RequestedLine, Shipment
from shared.contracts.messages import Message, contract_of
from shared.eventsourced.publishing import LANES, lane_of
from shared.kafka import CONTROL_TOPIC
from shared.settings import Settings

MARK = "fuzz"
"""Every piece has a header of this name with its number: no two are the same, and none is taken for a true one."""
TRUE_LANES = 0
"""Remainder by 2 of the lanes of all keys of which true facts may come."""
FAR = 10**6
"""How far beyond the head of a lane a made-up sequence is at least."""

Headers = list[tuple[str, bytes | None]]


class Fate(Enum):
    """What becomes of a piece at a service."""

    LETTER = "a dead letter"
    NOTHING = "nothing: a repeat, behind a hole, or of no concern"
    EITHER = "a dead letter, or, if it is valid by chance, taken"


@dataclass
class Piece:
    """One record. `fates`: service → what must become of it there; `partition`: None for any."""

    what: str
    topic: str
    value: bytes | None
    headers: Headers
    key: bytes | None
    fates: Mapping[str, Fate]
    partition: int | None = None
    timestamp_ms: int | None = None


def on_lane(text: str, remainder: int = TRUE_LANES) -> str:
    """This text with an ending that puts it, as a key, into a lane of this remainder by 2."""
    return next(key for n in range(1_000) if lane_of(key := f"{text}-{n}") % 2 == remainder)


@dataclass
class Listening:
    """Who hears which topic, and which types on it."""

    topics: dict[str, list[str]] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, service in load_services(Settings()).items():
            heard = [contract_of(message) for message in service.hears]
            self.types[name] = {contract.name for contract in heard}
            for topic in {contract.topic for contract in heard}:
                self.topics.setdefault(topic, []).append(name)

    def all(self, topic: str, fate: Fate) -> dict[str, Fate]:
        """The same fate at everybody who hears the topic."""
        return dict.fromkeys(self.topics[topic], fate)

    def those(self, topic: str, type_name: str) -> dict[str, Fate]:
        """A letter for those who hear this type, in whatever version; nothing for the others."""
        base = type_name.rpartition(".v")[0]
        bases = {name: {each.rpartition(".v")[0] for each in types} for name, types in self.types.items()}
        return {s: Fate.LETTER if base in bases[s] else Fate.NOTHING for s in self.topics[topic]}


class Pieces:
    """`heads`: (speaker, lane) → sequence that all have heard, at rest; the odd lanes say nothing true any more.

    `forgeries`: also such as take the place of a true message; a running speaker stops writing when it learns of one.
    """

    def __init__(
        self,
        random: Random,
        heads: Mapping[tuple[str, int], int],
        partitions: Mapping[str, int],
        *,
        forgeries: bool = True,
    ) -> None:
        self._random, self._partitions, self._forgeries = random, partitions, forgeries
        self._listening = Listening()
        self.positions = {(s, lane): heads.get((s, lane), 0) for s in SPEAKERS for lane in range(LANES)}
        self._heads = dict(heads)
        self._number = 0

    def forged(self) -> dict[tuple[str, int], int]:
        """(speaker, lane) → how far it was moved by pieces."""
        return {p: n for p, n in self.positions.items() if n > self._heads.get(p, 0)}

    def next(self) -> Piece:
        """One more piece, its topic and its fault at random."""
        self._number += 1
        makers: Sequence[Callable[[], Piece]] = (self._inbound, self._said, self._control)
        piece = self._random.choices(makers, weights=(45, 50, 5))[0]()
        piece.headers.append((MARK, b"%d" % self._number))
        if piece.key is None and piece.value is None:
            piece.key = b""  # the client library sends nothing that has neither
        return piece

    # ---- inbound topics

    def _inbound(self) -> Piece:
        message = self._message()
        record = envelope(message, datetime.now(UTC))
        maker = self._random.choice(_INBOUND)
        while True:
            value, headers, what = maker(self._random, record.value, list(record.headers))
            if _keeps_its_lane(value):
                break
        fate = Fate.LETTER if maker in _NEVER_VALID else Fate.EITHER
        fates = self._listening.all(record.topic, fate)
        key = self._random.choice([record.key, None, b"", self._random.randbytes(9), record.key * 1_000])
        instant = self._random.choice([None, None, 0, 1])  # Apache Kafka itself refuses what is far ahead
        return Piece(what, record.topic, value, headers, key, fates, timestamp_ms=instant)

    def _message(self) -> Message:
        n, at = self._number, datetime(2026, 3, 31, 12, tzinfo=UTC)
        customer, sku = on_lane(f"FUZZ-C{n}"), on_lane(f"FUZZ-S{n}")
        line = RequestedLine(sku, 2, 1_000, 2_000)
        messages: Sequence[Message] = (
            Order(f"FUZZ-O{n}", customer, "GBP", (line,), at),
            Customer(customer, "Fuzz & Sons", "GB", "GBP"),
            Payment(f"FUZZ-P{n}", customer, 1_200, "GBP", date(2026, 3, 31), reference="whatever"),
            Receipt(f"FUZZ-R{n}", sku, 5),
            Shipment(f"FUZZ-SH{n}", f"FUZZ-O{n}", at, ()),
        )
        return self._random.choice(messages)

    # ---- the topics of the services

    def _said(self) -> Piece:
        speaker = self._random.choice(sorted(SPEAKERS))
        makers = [self._without_position, self._foreign, self._repeat, self._beyond]
        if self._forgeries:
            makers.append(self._next_in_line)
        return self._random.choice(makers)(speaker)

    def _without_position(self, speaker: str) -> Piece:
        topic, random = SPEAKERS[speaker].topic, self._random
        lane, sequence = random.choice(_NO_POSITION)
        headers = self._headers(speaker, f"fuzz-{self._number}@1", self._type(speaker), lane, sequence)
        if random.random() < 0.2:
            headers = []
        elif lane is not None and sequence is not None:  # said twice: the last one counts, and it is wrong
            headers = [("ce_lane", b"1"), ("ce_lanesequence", b"1"), *headers]
        value = random.choice([None, b"", random.randbytes(300), b"{}"])
        return Piece("no position", topic, value, headers, b"k", self._listening.all(topic, Fate.LETTER))

    def _foreign(self, speaker: str) -> Piece:
        """The next in line by its numbers, but of another source, or in a lane that is not that of its key."""
        lane, key = self._odd_lane()
        n = self._number
        headers = self._headers(speaker, f"fuzz-{n}@1", self._type(speaker), lane, self.positions[speaker, lane] + 1)
        if self._random.random() < 0.5:
            headers = [(name, b"/somebody/else" if name == "ce_source" else value) for name, value in headers]
        else:
            key = self._random.choice([None, b"", b"\xff\xfe", on_lane(f"FUZZ-K{n}").encode()])
        topic = SPEAKERS[speaker].topic
        return Piece("foreign", topic, b"{}", headers, key, self._listening.all(topic, Fate.LETTER))

    def _repeat(self, speaker: str) -> Piece:
        heard = [lane for (s, lane), n in self._heads.items() if s == speaker and n]
        if not heard:
            return self._beyond(speaker)
        lane = self._random.choice(heard)
        sequence = self._random.randint(1, self._heads[speaker, lane])
        return self._placed("repeat", speaker, lane, sequence, key_of(lane), self._nonsense())

    def _beyond(self, speaker: str) -> Piece:
        lane = self._random.randrange(LANES)
        sequence = self._random.choice([2**62 - 1, self.positions[speaker, lane] + FAR + self._random.randrange(FAR)])
        return self._placed("behind a hole", speaker, lane, sequence, key_of(lane), self._nonsense())

    def _placed(self, what: str, speaker: str, lane: int, sequence: int, key: bytes, value: bytes | None) -> Piece:
        """What has a place in a lane, but not the next one: nobody looks at more of it."""
        topic = SPEAKERS[speaker].topic
        headers = self._headers(speaker, f"fuzz-{self._number}@1", self._type(speaker), lane, sequence)
        fates = self._listening.all(topic, Fate.NOTHING)
        return Piece(what, topic, value, headers, key, fates, self._partition(topic, lane))

    def _next_in_line(self, speaker: str) -> Piece:
        """A perfect forgery by its envelope: it takes the place of a true message, whatever is in it."""
        topic = SPEAKERS[speaker].topic
        lane, key = self._odd_lane()
        self.positions[speaker, lane] += 1
        type_name = self._random.choice([self._type(speaker), f"o2c.{speaker}.Nonsense.v1"])
        if self._random.random() < 0.3:
            type_name = f"{type_name.rpartition('.v')[0]}.v99"
        id_ = f"fuzz-{self._number}@1"
        headers = self._headers(speaker, id_, type_name, lane, self.positions[speaker, lane])
        fates = self._listening.those(topic, type_name)
        return Piece("next in line", topic, self._nonsense(), headers, key, fates, self._partition(topic, lane))

    def _nonsense(self) -> bytes | None:
        random = self._random
        return random.choice([None, b"", b"{}", b"null", b"[" * 50_000, random.randbytes(500), b'{"order_id":7}'])

    def _type(self, speaker: str) -> str:
        return self._random.choice(sorted(name for name, each in contracts().items() if each.speaker == speaker))

    def _headers(self, speaker: str, id_: str, type_name: str, lane: Any, sequence: Any) -> Headers:
        texts = {
            "ce_type": type_name,
            "ce_id": id_,
            "ce_source": f"/o2c/{speaker}",
            "ce_specversion": "1.0",
            "ce_time": datetime.now(UTC).isoformat(),
        }
        headers: Headers = [(name, text.encode()) for name, text in texts.items()]
        for name, value in (("ce_lane", lane), ("ce_lanesequence", sequence)):
            if value is not None:
                headers.append((name, b"%d" % value if isinstance(value, int) else value))
        return headers

    def _odd_lane(self) -> tuple[int, bytes]:
        lane = 2 * self._random.randrange(LANES // 2) + 1 - TRUE_LANES
        return lane, key_of(lane)

    def _partition(self, topic: str, lane: int) -> int:
        """Where a lane belongs: what is there is heard in the order in which it was sent."""
        return lane % self._partitions[topic]

    # ---- the control topic

    def _control(self) -> Piece:
        random, number = self._random, self._random.choice([0, -1, 7, 2**62, 2**64, 10**30])
        lanes = {str(random.choice([-1, 0, 1, 47, 48, 10**25])): number}
        body: Any = {
            "kind": random.choice(["resend", "heads", "nonsense", 7]),
            "speaker": random.choice([*SPEAKERS, "analytics", "nobody"]),
            random.choice(["lanes", "heads"]): random.choice([lanes, lanes, lanes, None, []]),
        }
        value = random.choice([msgspec.json.encode(_json_safe(body)), random.randbytes(100), b"[" * 10_000, None])
        return Piece("control", CONTROL_TOPIC, value, [], None, {})


def _json_safe(body: Any) -> Any:
    """msgspec writes no integer beyond 64 bits; as raw JSON they can be said."""
    if isinstance(body, dict):
        return {key: _json_safe(value) for key, value in body.items()}
    return msgspec.Raw(b"%d" % body) if isinstance(body, int) else body


def key_of(lane: int) -> bytes:
    """A key that belongs to this lane."""
    return next(key for n in range(10_000) if lane_of(key := f"FUZZ-L{n}") == lane).encode()


def _keeps_its_lane(value: bytes | None) -> bool:
    """Whether no true fact in an odd lane can come of this body."""
    try:
        return all(lane_of(key) % 2 == TRUE_LANES for key in _keys(loosely(value)))
    except (ValueError, RecursionError):  # no JSON, or a key that is no text
        return True


def loosely(value: bytes | None) -> Any:
    """A body as JSON, numbers as their text: whatever a service may take, since it looks only at what it knows.

    Raises ValueError for what is no JSON.
    """
    return json.loads((value or b"").decode(errors="replace"), strict=False, parse_int=str, parse_float=str)


def _keys(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for name, value in body.items():
            if name in ("customer_id", "sku") and isinstance(value, str):
                yield value
            yield from _keys(value)
    elif isinstance(body, list):
        for value in body:
            yield from _keys(value)


# ---- what is done to a good inbound message: (random, value, headers) → (value, headers, what)

Spoilt = tuple[bytes | None, Headers, str]
_NO_POSITION: Sequence[tuple[Any, Any]] = (
    (None, None),
    (5, None),
    (None, 5),
    (48, 1),
    (-1, 1),
    (5, 0),
    (5, -3),
    (5, 2**62),
    (b"five", 1),
    (5, b"\xff\xfe"),
    (b"", b""),
    (5, b"9" * 5_000),
    (b"5.0", b"1e3"),
)


def _noise(random: Random, value: bytes, headers: Headers) -> Spoilt:
    return random.randbytes(random.choice([0, 1, 40, 3_000])), [("noise", random.randbytes(20))], "noise"


def _noisy_body(random: Random, value: bytes, headers: Headers) -> Spoilt:
    return b"\xff" + random.randbytes(random.randrange(500)), headers, "noise in the body"


def _cut(random: Random, value: bytes, headers: Headers) -> Spoilt:
    return value[: random.randrange(len(value))], headers, "cut off"


def _flipped(random: Random, value: bytes, headers: Headers) -> Spoilt:
    return _flip(random, value), headers, "flipped bits in the body"


def _flipped_header(random: Random, value: bytes, headers: Headers) -> Spoilt:
    place = random.randrange(len(headers))
    name, text = headers[place]
    if random.random() < 0.7:
        headers[place] = (name, _flip(random, text or b"?"))
    else:
        headers[place] = (name[:-1] + chr(ord(name[-1]) ^ 1), text)
    return value, headers, "flipped bits in a header"


def _header_gone_or_twice(random: Random, value: bytes, headers: Headers) -> Spoilt:
    name, text = headers[random.randrange(len(headers))]
    match random.randrange(4):
        case 0:
            headers.remove((name, text))
        case 1:
            headers.append((name, random.choice([b"", None, b"\xff\xfe", b"x" * 5_000, b"another"])))
        case 2:
            headers.insert(0, (name, b"first and overruled"))
        case _:
            headers[:] = [(each, None) for each, _ in headers]
    return value, headers, "headers missing or twice"


def _other_type(random: Random, value: bytes, headers: Headers) -> Spoilt:
    names = [*sorted(contracts()), "o2c.inbound.Order.v2", "o2c.inbound.Nonsense.v1", "", "x" * 600, "a\x00b"]
    headers[0] = ("ce_type", random.choice(names).encode())
    return value, headers, "another type"


def _wrong_values(random: Random, value: bytes, headers: Headers) -> Spoilt:
    body = msgspec.json.decode(value)
    for name in random.sample(sorted(body), random.randint(1, 2)):
        body[name] = msgspec.Raw(random.choice(_VALUES))
    return msgspec.json.encode(body), headers, "wrong values"


def _nothing(random: Random, value: bytes, headers: Headers) -> Spoilt:
    return random.choice([None, b"", b"null", b"[]", b"7", b'""', b"{}"]), headers, "null"


def _deep(random: Random, value: bytes, headers: Headers) -> Spoilt:
    depth = random.choice([500, 5_000, 100_000])
    return random.choice([b"[" * depth, b'{"lines":' * depth, b"[" * depth + b"]" * depth]), headers, "deeply nested"


def _large(random: Random, value: bytes, headers: Headers) -> Spoilt:
    size = random.choice([1_000_001, 1_020_000, 1_030_000])  # the broker takes little more than a million
    return value[:-1] + b" " * (size - len(value)) + b"}", headers, "too large"


def _structured(random: Random, value: bytes, headers: Headers) -> Spoilt:
    kind = (dict(headers)["ce_type"] or b"").decode()
    whole = {"specversion": "1.0", "id": "s-1", "source": "/shop", "type": kind, "data": msgspec.Raw(value)}
    for name in random.sample(sorted(whole), random.randrange(3)):
        whole[name] = msgspec.Raw(random.choice(_VALUES))
    body = msgspec.json.encode(whole)
    if random.random() < 0.3:
        body = _flip(random, body)
    return body, [("content-type", b"application/cloudevents+json")], "structured"


def _flip(random: Random, value: bytes) -> bytes:
    flipped = bytearray(value)
    for _ in range(random.randint(1, 4)):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


_VALUES = (
    b"null",
    b"-1",
    b"0",
    b"1e400",
    b"1.5",
    b"9" * 30,
    b"9" * 5_000,
    b"true",
    b'""',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"' + b"x" * 70_000 + b'"',
    b"[]",
    b"{}",
    b'"9999-12-31T23:59:59Z"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31"',
)
_NEVER_VALID = (_noise, _noisy_body, _cut, _nothing, _deep, _large)
_INBOUND = (
    *_NEVER_VALID,
    *(_flipped, _flipped_header, _header_gone_or_twice, _other_type, _wrong_values, _structured),
)
