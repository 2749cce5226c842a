"""The generated documents are up to date, say what the code does, and are what they claim to be."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import validator_for

from o2c.documents.asyncapi import asyncapi
from o2c.documents.flow import NAMES, load_services
from o2c.documents.written import Files, documents, out_of_date, schema_documents, write
from shared.contracts.catalogue import contracts
from shared.contracts.schemas import schemas_of
from shared.contracts.words import MEANINGS, SPECIAL_MEANINGS
from shared.kafka import dead_letter_topic
from shared.settings import Settings
from tests.contracts.samples import samples
from tests.contracts.test_cloudevents import OURS, said

ASYNCAPI_3 = Path(__file__).parent / "asyncapi" / "3.0.0.json"


@cache
def made() -> Files:
    """Every generated file by its path."""
    return documents()


@cache
def asyncapi_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(made()[Path("docs/asyncapi.json")])
    return document


def test_no_document_is_out_of_date() -> None:
    assert out_of_date(made()) == [], "run: python -m o2c.documents"


def test_a_document_that_was_edited_missing_or_left_over_is_found_and_mended(tmp_path: Path) -> None:
    names = ("docs/schemas/o2c.shop.Sold.v1.json", "docs/asyncapi.json", "docs/flow.md")
    wanted = {Path(name): f"the text of {name}" for name in names}
    assert write(wanted, tmp_path) == sorted(names)
    assert out_of_date(wanted, tmp_path) == []
    (tmp_path / "docs/flow.md").write_text("edited", "utf-8")
    (tmp_path / "docs/asyncapi.json").unlink()
    (tmp_path / "docs/schemas/o2c.shop.Rumour.v1.json").write_text("{}", "utf-8")
    stale = ["docs/asyncapi.json", "docs/flow.md", "docs/schemas/o2c.shop.Rumour.v1.json"]
    assert out_of_date(wanted, tmp_path) == stale
    assert write(wanted, tmp_path) == stale
    assert out_of_date(wanted, tmp_path) == []


# ---- schemas


def test_every_public_message_has_a_schema_with_an_identity_and_words() -> None:
    files = schema_documents({})
    assert [path.stem for path in files] == list(contracts())
    schemas = [json.loads(text) for text in files.values()]
    assert len({schema["$id"] for schema in schemas}) == len(schemas)
    for schema in schemas:
        assert validator_for(schema).META_SCHEMA["$id"] == "https://json-schema.org/draft/2020-12/schema"
        parts = [schema, *schema.get("$defs", {}).values()]
        assert all(part["description"] and part["title"] for part in parts)
        assert all(field["description"] for part in parts for field in part["properties"].values())


def test_no_word_explains_a_field_that_is_gone() -> None:
    parts = schemas_of(contracts().values(), "{name}")
    fields = {f"{kind}.{field}" for kind, part in parts.items() for field in part["properties"]}
    assert sorted(MEANINGS.keys() - {name.partition(".")[2] for name in fields}) == []
    assert sorted(SPECIAL_MEANINGS.keys() - fields) == []


# ---- AsyncAPI


def test_the_asyncapi_document_is_asyncapi_3() -> None:
    judge = Draft7Validator(json.loads(ASYNCAPI_3.read_text("utf-8")))
    assert [f"{error.json_path}: {error.message}" for error in judge.iter_errors(asyncapi_document())] == []


def test_the_judge_of_asyncapi_is_awake() -> None:
    judge = Draft7Validator(json.loads(ASYNCAPI_3.read_text("utf-8")))
    wrong = asyncapi_document() | {"operations": {"order.sends": {"action": "shout", "channel": {"$ref": "#/x"}}}}
    assert not judge.is_valid(wrong)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """The schema of AsyncAPI does not follow references."""
    document = asyncapi_document()
    for reference in _references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def _references(part: Any) -> list[str]:
    match part:
        case {"$ref": reference}:
            return [reference]
        case dict():
            return [found for value in part.values() for found in _references(value)]
        case list():
            return [found for value in part for found in _references(value)]
    return []


def test_the_asyncapi_document_has_every_topic_and_every_message() -> None:
    document = asyncapi_document()
    topics = {contract.topic for contract in contracts().values()} | {dead_letter_topic(name) for name in NAMES}
    assert set(document["channels"]) == topics
    assert set(document["components"]["messages"]) == {*contracts(), "DeadLetter"}
    for contract in contracts().values():
        assert contract.name in document["channels"][contract.topic]["messages"]


@pytest.mark.parametrize("action", ["send", "receive"])
def test_the_asyncapi_operations_are_what_the_services_say_and_hear(action: str) -> None:
    operations = asyncapi_document()["operations"]
    for name, service in load_services(Settings()).items():
        heard = {message.__name__ for message in service.hears}
        said_here = {says.message.__name__ for says in service.says.values()}
        listed = [
            reference["$ref"].rpartition("/")[2].split(".")[-2]
            for title, operation in operations.items()
            if title.startswith(f"{name}.") and operation["action"] == action
            for reference in operation.get("messages", ())
        ]
        assert sorted(listed) == sorted(said_here if action == "send" else heard)


@pytest.mark.parametrize("name", OURS)
def test_the_headers_that_the_relay_writes_are_those_of_the_document(name: str) -> None:
    """In both directions: none is missing and none is unknown."""
    headers = {header: value.decode() for header, value in said(name).headers}
    schemas = asyncapi_document()["components"]["schemas"]
    assert sorted(headers) == sorted(schemas["SpokenHeaders"]["properties"])
    message = asyncapi_document()["components"]["messages"][name]
    judge = Draft7Validator(
        {**message["headers"], "components": {"schemas": schemas}}, format_checker=Draft7Validator.FORMAT_CHECKER
    )
    assert [error.message for error in judge.iter_errors(headers)] == []


@pytest.mark.parametrize("name", samples())
def test_the_examples_of_the_asyncapi_document_fit_its_schemas(name: str) -> None:
    """AsyncAPI's own parser does not check this."""
    document = asyncapi_document()
    message = document["components"]["messages"][name]
    judge = Draft7Validator({**message["payload"], "components": document["components"]})
    assert [error.message for error in judge.iter_errors(message["examples"][0]["payload"])] == []


def test_an_asyncapi_document_of_some_services_is_possible() -> None:
    some = {name: service for name, service in load_services(Settings()).items() if name == "credit"}
    assert {title.partition(".")[0] for title in asyncapi(some, "1", {})["operations"]} == {"credit"}
