"""Facts that were ever stored stay readable: every golden sample decodes and encodes to itself."""

from pathlib import Path

import msgspec
import pytest

from services.receivables.domain.account import account
from services.receivables.domain.payment import payment
from shared.eventsourced.facts import stored_name, stored_version

GOLDEN = Path(__file__).parent / "golden"
FACTS = {(stored_name(cls), stored_version(cls)): cls for decider in (payment, account) for cls in decider.facts}


@pytest.mark.parametrize(("name", "version"), FACTS)
def test_every_current_fact_has_a_sample_that_encodes_to_itself(name: str, version: int) -> None:
    cls = FACTS[name, version]
    sample = msgspec.json.decode((GOLDEN / f"{name}.v{version}.json").read_bytes())
    assert sample["v"] == version
    fact = msgspec.convert(sample["d"], cls)
    assert msgspec.json.decode(msgspec.json.encode(fact)) == sample["d"]
    assert sorted(sample["d"]) == sorted(cls.__struct_fields__)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_is_of_a_fact_we_know_and_is_readable(path: Path) -> None:
    sample = msgspec.json.decode(path.read_bytes())
    name, _, version = path.stem.rpartition(".v")
    assert sample["v"] == int(version)
    classes = {known: (cls, current) for (known, current), cls in FACTS.items()}
    cls, current = classes[name]
    for before in range(sample["v"], current):
        getattr(cls, f"upcast_v{before}_v{before + 1}")(sample["d"])
    msgspec.convert(sample["d"], cls)
