"""A problem is read from whatever a service, or somebody in between, has answered."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from shared.answers import ProblemSaid, problem_said
from shared.errors import ContractError, Problem
from shared.http import install_problems


def test_what_our_services_say_is_read_with_every_reason() -> None:
    app = FastAPI()
    install_problems(app)

    @app.get("/")
    def refused() -> None:
        raise ContractError([Problem("lines[0].sku", "missing", "is required"), Problem("", "not_json", "is no JSON")])

    said = problem_said(TestClient(app).get("/"))
    assert (said.status, said.detail) == (422, "2 problems found; nothing was stored")
    assert said.reasons == (("lines[0].sku", "is required"), ("", "is no JSON"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[]", b"1", b"null", b'"no"', b"{}", b'{"errors": [1]}'])
def test_what_is_no_problem_document_is_told_by_its_status(body: bytes) -> None:
    assert problem_said(httpx.Response(502, content=body)) == ProblemSaid(502, "502 Bad Gateway")


@pytest.mark.parametrize(
    "document", [{"title": "Conflict"}, {"title": "Conflict", "detail": ""}, {"detail": "Conflict"}]
)
def test_a_title_does_where_there_is_no_detail(document: dict[str, Any]) -> None:
    assert problem_said(httpx.Response(409, json=document)).detail == "Conflict"
