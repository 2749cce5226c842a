"""What is stored: its bytes, older versions of them, and states with maps."""

import json
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContractError
from shared.eventsourced.facts import Fact, Meta, Recorded, State, declared_facts, fact, stored_name, stored_version
from shared.eventsourced.mapper import FactMapper, decode_fact, decode_state, encode_fact, encode_state
from shared.values import Map
from tests.engine.toy import CoinsAdded, Jar, ReceiptWritten

META = Meta(1_700_000_000_000_000, "O-1", "cause", "trace")
text = st.text(st.characters(codec="utf-8"))


class Inner(State, frozen=True, gc=False):
    left: Map[int, str] = Map()


class Outer(State, frozen=True, gc=False):
    by_day: Map[date, tuple[int, ...]] = Map()
    inner: Map[str, Inner] = Map()
    note: str | None = None


@fact("toy.Thrice", version=3)
class Thrice(Fact, frozen=True, gc=False):
    c: int

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> None:
        data["b"] = data.pop("a") * 10

    @staticmethod
    def upcast_v2_v3(data: dict[str, Any]) -> None:
        data["c"] = data.pop("b") + 1


def test_a_stored_fact_is_its_version_its_fields_and_its_meta_under_its_name() -> None:
    name, state = encode_fact(CoinsAdded("C-1", "O-1", 5), META)
    assert name == "toy.CoinsAdded"
    assert state.startswith(b'{"v":1,"d":{"customer_id":"C-1",')
    assert json.loads(state)["m"] == {"at": 1_700_000_000_000_000, "corr": "O-1", "cause": "cause", "trace": "trace"}
    assert json.loads(encode_fact(CoinsAdded("C", "O", 5), Meta(7))[1])["m"] == {"at": 7}


@given(text, text, st.integers(-(2**63), 2**63 - 1), text, text)
def test_a_fact_is_read_as_it_was_written(customer: str, order: str, amount: int, corr: str, cause: str) -> None:
    recorded = Recorded("jar-1", 3, CoinsAdded(customer, order, amount), Meta(5, corr, cause))
    stored = FactMapper().to_stored_event(recorded)
    assert (stored.originator_id, stored.originator_version, stored.topic) == ("jar-1", 3, "toy.CoinsAdded")
    assert FactMapper().to_domain_event(stored) == recorded


@pytest.mark.parametrize(
    "stored",
    [b'{"v":1,"d":{"a":4},"m":{"at":1}}', b'{"v":2,"d":{"b":40},"m":{"at":1}}', b'{ "v": 3,"d":{"c":41},"m":{"at":1}}'],
)
def test_every_older_version_is_brought_up_step_by_step(stored: bytes) -> None:
    recorded = decode_fact("s", 1, "toy.Thrice", stored)
    assert (recorded.fact, recorded.meta) == (Thrice(41), Meta(1))


def test_version_1_does_not_pass_for_version_1x() -> None:
    state = b'{"v":1,"d":{"customer_id":"C","why":"w"},"m":{"at":1}}'
    assert decode_fact("s", 1, "toy.ReceiptWritten", state).fact == ReceiptWritten("C", "w")


@pytest.mark.parametrize(
    "state", [b"", b"{}", b"no json", b'{"v":1,"d":{},"m":{"at":1}}', b'{"v":1,"d":{"customer_id":1}']
)
def test_bytes_that_are_no_fact_are_a_decode_error(state: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_fact("s", 1, "toy.CoinsAdded", state)


def test_a_fact_has_a_registered_name_that_is_not_its_module_path() -> None:
    assert (stored_name(ReceiptWritten), stored_version(ReceiptWritten)) == ("toy.ReceiptWritten", 2)
    assert declared_facts()["toy.ReceiptWritten"] == (ReceiptWritten, 2)
    with pytest.raises(KeyError):
        stored_name(Jar)


days = st.dictionaries(st.dates(), st.lists(st.integers(0, 9)).map(tuple)).map(Map)
inners = st.dictionaries(text, st.dictionaries(st.integers(-9, 9), text).map(Map).map(Inner)).map(Map)


@given(days, inners, st.none() | text)
def test_a_snapshot_keeps_maps_in_maps_with_keys_of_any_kind(by_day: Any, inner: Any, note: str | None) -> None:
    state = Outer(by_day, inner, note)
    assert decode_state(Outer, encode_state(state)) == state


@pytest.mark.parametrize("data", [b'{"by_day": []}', b'{"inner": {"a": {"left": {"x": 1}}}}', b'{"note": 1}', b"[]"])
def test_a_snapshot_of_another_shape_says_so(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_state(Outer, data)


def test_a_fact_of_a_newer_release_is_not_taken_for_one_of_ours() -> None:
    with pytest.raises(ContractError, match="newer release"):
        decode_fact("s", 1, "toy.CoinsAdded", b'{"v":2,"d":{"customer_id":"C","order_id":"O"},"m":{"at":1}}')
