"""The HTTP face of every service is described: valid OpenAPI, with summaries, examples and problems."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from o2c.documents.flow import NAMES, load_services
from o2c.documents.openapi import openapi
from shared.settings import Settings

Operation = dict[str, Any]


@cache
def document(name: str) -> dict[str, Any]:
    return openapi(load_services(Settings())[name], Settings())


def operations(name: str) -> Iterator[tuple[str, Operation]]:
    for path, item in document(name)["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("name", NAMES)
def test_the_document_is_openapi(name: str) -> None:
    assert document(name)["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document(name)).iter_errors()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_says_what_it_is_for(name: str) -> None:
    """A summary that FastAPI made of a function's name needs a description beside it."""
    for title, operation in operations(name):
        made_up = operation["operationId"].startswith(operation["summary"].lower().replace(" ", "_"))
        assert operation.get("description") or not made_up, title


@pytest.mark.parametrize("name", NAMES)
def test_every_request_body_can_be_made_of_the_examples(name: str) -> None:
    schemas = document(name)["components"]["schemas"]
    for title, operation in operations(name):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            judge = Draft202012Validator({**content["schema"], "components": {"schemas": schemas}})
            body = example_of(content["schema"], schemas, title)
            assert [error.message for error in judge.iter_errors(body)] == [], title


def example_of(schema: dict[str, Any], schemas: dict[str, Any], where: str) -> Any:
    """An example put together from those of the required fields; a field without any fails the test."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, where)
    if examples := schema.get("examples"):
        return examples[0]
    match schema:
        case {"type": "object", "properties": fields}:
            required = schema.get("required", ())
            return {field: example_of(fields[field], schemas, f"{where} {field}") for field in required}
        case {"type": "array", "items": items}:
            return [example_of(items, schemas, where)]
        case {"type": "boolean"}:
            return True
        case {"enum": [first, *_]}:
            return first
    raise AssertionError(f"{where} has no example")


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_described_as_a_problem(name: str) -> None:
    for title, operation in operations(name):
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"422", "503"} <= errors.keys(), title
        for status, answer in errors.items():
            said_by_health = "/health/" in title and status == "503"
            wanted = "application/json" if said_by_health else "application/problem+json"
            assert list(answer["content"]) == [wanted], f"{title} {status}"


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_can_be_null(name: str) -> None:
    """A query or a header has no null: what is not given is not there."""
    for title, operation in operations(name):
        for parameter in operation.get("parameters", ()):
            assert '"null"' not in json.dumps(parameter["schema"]), f"{title} {parameter['name']}"


@pytest.mark.parametrize("name", NAMES)
def test_the_document_is_plain_json(name: str) -> None:
    assert json.loads(json.dumps(document(name))) == document(name)
