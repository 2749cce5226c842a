"""Old bytes stay readable: every fact of fulfillment has a stored sample that decodes and encodes back equal."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.fulfillment.domain.adjustment import adjustment
from services.fulfillment.domain.fulfillment import fulfillment
from services.fulfillment.domain.receipt import receipt
from services.fulfillment.domain.stock import stock
from shared.eventsourced.facts import Meta, declared_facts, stored_name, stored_version
from shared.eventsourced.mapper import decode_fact, encode_fact

GOLDEN = Path(__file__).parent / "golden"
FACTS = (*fulfillment.facts, *stock.facts, *receipt.facts, *adjustment.facts)


def _file(fact: type[Any]) -> Path:
    return GOLDEN / f"{stored_name(fact)}.v{stored_version(fact)}.json"


@pytest.mark.parametrize("fact", FACTS, ids=stored_name)
def test_a_stored_sample_decodes_and_encodes_back_equal(fact: type[Any]) -> None:
    sample = msgspec.json.decode(_file(fact).read_bytes())
    stored = msgspec.json.encode({**sample, "m": {"at": 0}})
    recorded = decode_fact("stream-1", 1, stored_name(fact), stored)
    assert type(recorded.fact) is fact
    name, encoded = encode_fact(recorded.fact, Meta(0))
    assert name == stored_name(fact)
    assert msgspec.json.decode(encoded) == msgspec.json.decode(stored)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_of_any_version_can_be_read(path: Path) -> None:
    name = path.name.partition(".v")[0]
    sample = msgspec.json.decode(path.read_bytes())
    recorded = decode_fact("stream-1", 1, name, msgspec.json.encode({**sample, "m": {"at": 0}}))
    assert type(recorded.fact) is declared_facts()[name][0]
    assert type(recorded.fact) in FACTS


def test_every_declared_fact_belongs_to_a_decider() -> None:
    declared = {fact for name, (fact, _) in declared_facts().items() if name.startswith("fulfillment.")}
    assert declared == set(FACTS)
