"""Old bytes stay readable: every public message has a golden sample, which decodes into its class and back."""

from datetime import datetime

import msgspec
import pytest
from jsonschema import Draft202012Validator

from shared.contracts.catalogue import contracts
from shared.contracts.schemas import schema_of
from tests.contracts.samples import samples, without_younger_fields

SAMPLES = samples()


def test_every_contract_has_a_golden_sample_and_every_sample_a_contract() -> None:
    assert sorted(SAMPLES) == sorted(contracts())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_golden_sample_is_read_and_written_back_without_a_change(name: str) -> None:
    kept = SAMPLES[name]
    message = msgspec.json.decode(kept, type=contracts()[name].message)
    written = msgspec.json.decode(msgspec.json.encode(message))
    assert without_younger_fields(written, msgspec.json.decode(kept)) == msgspec.json.decode(kept)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_golden_sample_fits_the_schema(name: str) -> None:
    schema = schema_of(contracts()[name])
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert list(checker.iter_errors(msgspec.json.decode(SAMPLES[name]))) == []


@pytest.mark.parametrize("name", SAMPLES)
def test_a_golden_sample_is_addressed_as_its_contract_says(name: str) -> None:
    contract = contracts()[name]
    message = msgspec.json.decode(SAMPLES[name], type=contract.message)
    assert getattr(message, contract.key), "the Kafka key"
    assert getattr(message, contract.subject), "the CloudEvents subject"


@pytest.mark.parametrize("name", SAMPLES)
def test_instants_carry_a_zone(name: str) -> None:
    message = msgspec.json.decode(SAMPLES[name], type=contracts()[name].message)
    instants = [value for value in msgspec.structs.asdict(message).values() if isinstance(value, datetime)]
    assert all(instant.tzinfo is not None for instant in instants)


@pytest.mark.parametrize("name", [name for name, kept in SAMPLES.items() if b'"tax_minor"' in kept])
def test_amounts_add_up(name: str) -> None:
    """A sample with wrong sums would teach its readers wrongly."""
    body = msgspec.json.decode(SAMPLES[name])
    assert body["net_minor"] + body["tax_minor"] == body["total_minor"]
    assert body["net_minor"] == sum(line["quantity"] * line["unit_price_minor"] for line in body["lines"])
    for line in body["lines"]:
        assert (
            line.get("net_minor", line["quantity"] * line["unit_price_minor"])
            == line["quantity"] * line["unit_price_minor"]
        )
