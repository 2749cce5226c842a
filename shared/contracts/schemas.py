"""Public messages as JSON Schema, made from the classes themselves, so that no document can say something else."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from shared.contracts.messages import Contract
from shared.contracts.words import meaning_of, unit_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://o2c.example/schemas"
"""Where the `$id`s live: a reserved domain, since a schema's identity need not be an address."""

Schema = dict[str, Any]


def schema_of(contract: Contract, examples: Iterable[Any] = ()) -> Schema:
    """The schema of one message type as a document of its own (2020-12).

    Fields that are not listed are allowed: a later version of the system may add optional ones.
    """
    parts = schemas_of([contract], "#/$defs/{name}")
    body = parts.pop(contract.message.__name__)
    address = {"topic": contract.topic, "key": contract.key, "subject": contract.subject}
    whole: Schema = {"$schema": DIALECT, "$id": f"{BASE}/{contract.name}.json", **body, "x-kafka": address}
    whole["title"] = contract.name
    if examples := list(examples):
        whole["examples"] = examples
    return {**whole, "$defs": parts} if parts else whole


def schemas_of(contracts: Iterable[Contract], ref_template: str) -> dict[str, Schema]:
    """The schemas of messages and of their parts, by class name, referring to each other by this template."""
    _, parts = msgspec.json.schema_components([c.message for c in contracts], ref_template=ref_template)
    parts = msgspec.json.decode(msgspec.json.encode(parts))  # defaults as JSON has them: an array, not a tuple
    return {name: _explained(name, part) for name, part in sorted(parts.items())}


def _explained(kind: str, schema: Mapping[str, Any]) -> Schema:
    """With the meaning, unit and format of every field."""
    fields = {name: _field(kind, name, field) for name, field in schema["properties"].items()}
    words = " ".join(str(schema["description"]).split())
    return {**schema, "description": words, "properties": fields}


def _field(kind: str, name: str, schema: Mapping[str, Any]) -> Schema:
    unit = unit_of(name)
    explained: Schema = {**schema, "description": meaning_of(kind, name)}
    if unit == "instant":
        explained["format"] = "date-time"  # msgspec leaves it out: the class could hold an instant without a zone
    return {**explained, "x-unit": unit} if unit else explained
