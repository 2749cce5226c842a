"""What the world hears of billing is what happened, under the contract's names."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.billing.publishing import SAYS
from shared.contracts import billing as public
from shared.contracts.messages import contracts
from shared.eventsourced.facts import stored_name

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("fact", SAYS, ids=stored_name)
def test_a_message_is_its_fact_without_what_is_private(fact: type[Any]) -> None:
    says = SAYS[fact]
    sample = msgspec.json.decode((GOLDEN / f"{stored_name(fact)}.v1.json").read_bytes())["d"]
    message = says.of(msgspec.convert(sample, fact))
    assert type(message) is says.message
    read = msgspec.json.decode(msgspec.json.encode(message), type=says.message)
    assert read == message
    names = says.message.__struct_fields__
    assert msgspec.json.decode(msgspec.json.encode(message)) == {name: sample[name] for name in names}


@pytest.mark.parametrize("fact", SAYS, ids=stored_name)
def test_a_published_fact_has_the_key_and_subject_of_its_contract(fact: type[Any]) -> None:
    contract = SAYS[fact].contract
    assert contract.key in fact.__struct_fields__
    assert contract.subject in fact.__struct_fields__


def test_everything_the_contract_promises_is_said() -> None:
    promised = {c.message for c in contracts().values() if c.speaker == public.BILLING.name}
    assert {says.message for says in SAYS.values()} == promised
