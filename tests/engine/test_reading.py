"""Records in any condition are read without a raise; what is wrong with them is a reason, not an accident."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalogue import contracts
from shared.contracts.orders import OrderPlaced
from shared.errors import ContractError
from shared.eventsourced.hearing import Translator, sift
from shared.eventsourced.publishing import LANES, lane_of
from shared.eventsourced.reading import ID_BYTES_MAX, Decoders, Received, _by_name, attributes_of, read
from tests.engine.records import INBOUND, SPEAKERS, TOPIC, Headers, Record, body_of, headers_of, order_record, placed
from tests.engine.toy import on_order_placed

DECODERS = Decoders(contracts(), {OrderPlaced: on_order_placed})
TRANSLATOR = Translator({OrderPlaced: on_order_placed}, (), DECODERS)
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
BODY_MAX = 1_000
LANE = lane_of("C-1")
"""Where the key of our records belongs."""

names = st.sampled_from(
    [
        "ce_id",
        "ce_type",
        "ce_lane",
        "ce_lanesequence",
        "ce_time",
        "ce_subject",
        "traceparent",
        "content-type",
        "\x00",
        "é",
    ]
)
values = st.one_of(
    st.none(),
    st.binary(max_size=70),
    st.sampled_from([b"0", b"47", b"48", b"-1", b"1", b" 1", b"9" * 5_000, "१".encode(), b"o2c.order.OrderPlaced.v1"]),
    st.sampled_from([b"o2c.order.OrderPlaced.v9", b"application/cloudevents+json", b"2026-01-01T00:00:00Z"]),
    st.sampled_from([b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"-" * 55]),
)
bodies = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: body_of(str(value) if isinstance(value, int) and abs(value) > 2**63 else value)),
    st.sampled_from(
        [
            body_of(placed()),
            b"[" * 5_000,
            b'{"id":"\\u0000","type":"t","data":{}}',
            b'{"x":' + b"[" * 5_000,
            b" " * 2_000,
        ]
    ),
    st.builds(lambda i, t: body_of({"id": i, "type": t, "data": {}}), st.text(max_size=600), st.text(max_size=20)),
)
records = st.builds(
    Record,
    value=bodies,
    headers=st.lists(st.tuples(names, values), max_size=8).map(tuple),
    topic=st.sampled_from([TOPIC, INBOUND]),
    key=st.none() | st.binary(max_size=20),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)


@given(records)
def test_no_record_whatever_makes_reading_or_translating_raise(record: Record) -> None:
    received = read(record, SPEAKERS, BODY_MAX)
    received.letter().digest()
    received.heard()
    positions = {("order", lane): 0 for lane in range(LANES)}
    for work in sift([received], positions, TRANSLATOR).works:
        assert work.letter is not None
        assert work.poison is not None or work.commands


OF_A_RELAY = (
    "ce_type",
    "ce_id",
    "ce_source",
    "ce_specversion",
    "ce_time",
    "ce_subject",
    "ce_lane",
    "ce_lanesequence",
    "traceparent",
    "content-type",
)
as_a_relay_writes = st.tuples(*(st.tuples(st.just(name), values) for name in OF_A_RELAY))
in_any_order = st.lists(st.tuples(st.sampled_from(OF_A_RELAY), values), min_size=9, max_size=11)


@given(as_a_relay_writes | as_a_relay_writes.flatmap(st.permutations) | in_any_order)
def test_what_a_header_says_does_not_depend_on_where_it_stands(headers: Headers) -> None:
    assert attributes_of(headers) == _by_name(headers)


def read_one(value: bytes | None = b"{}", headers: Headers = (), topic: str = TOPIC, **more: Any) -> Received:
    received = read(Record(value, headers, topic, **more), SPEAKERS, BODY_MAX)
    received.open()
    return received


def problem_of(received: Received) -> tuple[str, str]:
    """Field and code of the only problem, found at once or when it is decoded."""
    error = received.poison
    if error is None:
        with pytest.raises(ContractError) as raised:
            DECODERS.decode(received)
        error = raised.value
    assert isinstance(error, ContractError)
    ((field, code),) = [(p.field, p.code) for p in error.problems]
    return field, code


def test_a_message_of_a_speaker_has_its_position_and_stream() -> None:
    received = read(order_record(7), SPEAKERS, BODY_MAX)
    received.open()
    assert (received.speaker, received.sequence, received.stream) == ("order", 7, "order-O-C-1-7")
    assert DECODERS.decode(received) == placed("O-C-1-7")


def test_a_message_of_a_speaker_without_a_position_is_not_taken() -> None:
    received = read_one(headers=headers_of("order-1@1", 0, 1)[:2])
    assert received.speaker == ""
    assert problem_of(received) == ("ce_lanesequence", "position")


@pytest.mark.parametrize(("lane", "sequence"), [(48, 1), (-1, 1), (LANE, 0), (LANE, -1), (LANE, 2**62)])
def test_a_position_out_of_range_is_not_taken(lane: int, sequence: int) -> None:
    assert problem_of(read_one(headers=headers_of("order-1@1", lane, sequence)))[1] == "position"


@pytest.mark.parametrize("source", [None, b"", b"/o2c/credit", b"/shop"])
def test_a_position_of_another_source_is_not_taken(source: bytes | None) -> None:
    headers = tuple((n, source if n == "ce_source" else v) for n, v in headers_of("x@1", LANE, 1))
    received = read_one(headers=headers)
    assert (received.speaker, problem_of(received)[1]) == ("", "position")


@pytest.mark.parametrize("key", [None, b"", b"C-2", b"\xff"])
def test_a_position_in_another_lane_than_that_of_the_key_is_not_taken(key: bytes | None) -> None:
    received = read_one(headers=headers_of("x@1", LANE, 1), key=key)
    assert (received.speaker, problem_of(received)[1]) == ("", "position")


@pytest.mark.parametrize(
    ("message_id", "code"), [(b"", "missing"), (b"\xff", "encoding"), (b"a\nb", "characters"), (b"x" * 513, "too_long")]
)
def test_a_message_with_a_bad_id_keeps_its_position_so_that_its_lane_goes_on(message_id: bytes, code: str) -> None:
    headers = tuple((n, message_id if n == "ce_id" else v) for n, v in headers_of("x@1", LANE, 9))
    received = read_one(headers=headers)
    assert problem_of(received) == ("ce_id", code)
    assert (received.speaker, received.lane, received.sequence) == ("order", LANE, 9)


def test_an_id_of_the_longest_length_is_taken() -> None:
    assert read_one(headers=headers_of("x" * ID_BYTES_MAX, LANE, 1)).poison is None


def test_a_body_over_the_limit_is_poison_but_has_its_position() -> None:
    received = read_one(b" " * (BODY_MAX + 1), headers_of("x@1", LANE, 9))
    assert problem_of(received) == ("", "too_large")
    assert (received.speaker, received.sequence) == ("order", 9)
    assert read_one(b" " * BODY_MAX, headers_of("x@1", LANE, 9)).poison is None


def test_a_structured_event_from_outside_is_read() -> None:
    event = {
        "id": "i",
        "type": "o2c.order.OrderPlaced.v1",
        "time": "2026-03-01T12:00:00+02:00",
        "subject": "O-1",
        "data": msgspec.Raw(b'{"a": 1}'),
    }
    received = read_one(body_of(event), STRUCTURED, INBOUND)
    assert (received.id, received.body, received.poison) == ("i", b'{"a": 1}', None)
    assert received.heard().at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert received.heard().corr == "O-1"


@pytest.mark.parametrize("kind", [None, b""])
def test_an_event_whose_type_is_named_by_an_empty_header_alone_is_structured_too(kind: bytes | None) -> None:
    """A letter keeps what was null as empty: heard again it means the same."""
    event = {"id": "i", "type": "o2c.order.OrderPlaced.v1", "data": msgspec.Raw(b"{}")}
    received = read_one(body_of(event), (*STRUCTURED, ("ce_type", kind)), INBOUND)
    assert (received.id, received.poison) == ("i", None)


@pytest.mark.parametrize("wrong", ["x" * (ID_BYTES_MAX + 1), "ü" * 300, "i\n", "i\x00", ""])
@pytest.mark.parametrize("name", ["id", "type"])
def test_a_structured_event_whose_id_or_type_is_none_is_poison_and_keeps_little_of_it(name: str, wrong: str) -> None:
    event = {"id": "i", "type": "o2c.order.OrderPlaced.v1", "data": {}, name: wrong}
    received = read_one(json.dumps(event, ensure_ascii=False).encode(), STRUCTURED, INBOUND)
    assert problem_of(received)[0] == name
    assert max(len(received.id), len(received.type)) <= ID_BYTES_MAX
    assert "\x00" not in received.id + received.type


def test_a_structured_event_on_a_speakers_topic_has_no_position_and_is_not_taken() -> None:
    event = {"id": "order-1@1", "type": "o2c.order.OrderPlaced.v1", "data": msgspec.Raw(body_of(placed()))}
    assert problem_of(read_one(body_of(event), STRUCTURED)) == ("ce_lanesequence", "position")


@pytest.mark.parametrize("topic", [INBOUND, "o2c.credit.events"])
def test_a_message_on_another_topic_than_its_contracts_is_not_believed(topic: str) -> None:
    received = read_one(body_of(placed()), headers_of("order-1@1", 0, 1), topic)
    assert problem_of(received) == ("ce_type", "wrong_topic")


def test_a_version_that_is_not_known_yet_is_kept_and_a_type_that_nobody_hears_is_not() -> None:
    newer = read_one(headers=headers_of("x@1", LANE, 1, "o2c.order.OrderPlaced.v2"))
    assert DECODERS.hears(newer)
    assert problem_of(newer) == ("ce_type", "unknown_version")
    assert not DECODERS.hears(read_one(headers=headers_of("x@1", LANE, 1, "o2c.order.OrderHeld.v1")))
    stranger = read_one(headers=headers_of("x@1", LANE, 1, "com.example.thing"), topic=INBOUND)
    assert DECODERS.hears(stranger)
    assert problem_of(stranger) == ("ce_type", "unknown_type")


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b"[" * 100_000, b'{"order_id": 1, "customer_id": '])
def test_a_body_that_is_no_json_is_a_contract_error(value: bytes | None) -> None:
    received = read(Record(value, headers_of("x@1", LANE, 1)), SPEAKERS, 1_000_000)
    received.open()
    assert problem_of(received) == ("", "not_json")


def test_every_problem_of_a_body_is_named_at_once() -> None:
    value = {"order_id": 1, "customer_id": "C", "currency": "GBP", "lines": [{"line_no": "x"}], "net_minor": None}
    received = read_one(body_of(value), headers_of("x@1", LANE, 1))
    with pytest.raises(ContractError) as raised:
        DECODERS.decode(received)
    fields = {problem.field for problem in raised.value.problems}
    assert {"order_id", "lines[0].line_no", "lines[0].sku", "net_minor", "tax_minor", "placed_at"} <= fields


@pytest.mark.parametrize("said", [None, b"yesterday", b"2026-01-01T00:00:00", b"\xff", b"0001-01-01T00:00:00+14:00"])
def test_an_instant_that_cannot_be_read_is_the_records_own(said: bytes | None) -> None:
    assert read_one(headers=(("ce_time", said),), timestamp=1_500).heard().at == datetime(
        1970, 1, 1, 0, 0, 1, 500_000, UTC
    )


@pytest.mark.parametrize("trace", [b"", b"x" * 55, b"00-" + b"a" * 32, b"\xff" * 55])
def test_a_traceparent_that_cannot_be_read_is_ignored(trace: bytes) -> None:
    assert read_one(headers=(("traceparent", trace),)).heard().trace == ""


def test_a_traceparent_is_kept() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert read_one(headers=(("traceparent", trace.encode()),)).heard().trace == trace
