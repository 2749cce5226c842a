"""Old bytes stay readable: every fact of the order service has a stored sample that decodes and encodes back equal."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.order.domain.customer import customer
from services.order.domain.order import order
from services.order.domain.product import product
from shared.eventsourced.facts import stored_name, stored_version

GOLDEN = Path(__file__).parent / "golden"
FACTS = (*order.facts, *customer.facts, *product.facts)


def _file(fact: type[Any]) -> Path:
    return GOLDEN / f"{stored_name(fact)}.v{stored_version(fact)}.json"


@pytest.mark.parametrize("fact", FACTS, ids=stored_name)
def test_a_stored_sample_decodes_and_encodes_back_equal(fact: type[Any]) -> None:
    sample = msgspec.json.decode(_file(fact).read_bytes())
    assert sample["v"] == stored_version(fact)
    decoded = msgspec.json.decode(msgspec.json.encode(sample["d"]), type=fact)
    encoded = msgspec.json.encode(decoded)
    assert msgspec.json.decode(encoded) == sample["d"]
    assert msgspec.json.decode(encoded, type=fact) == decoded


def test_every_sample_belongs_to_a_declared_fact() -> None:
    names = {stored_name(fact) for fact in FACTS}
    assert {path.name.partition(".v")[0] for path in GOLDEN.glob("*.json")} == names
