"""Errors as RFC 9457 problem documents, with every reason at once, and the OpenAPI document that tells of them."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from shared.errors import (
    ConcurrencyError,
    ConflictError,
    ContractError,
    DomainError,
    NotFoundError,
    O2CError,
    Problem,
    UnavailableError,
)

CONTENT_TYPE = "application/problem+json"


class Reason(BaseModel):
    """One reason: `field` is a path such as `lines[2].quantity`, `code` is for programs, `message` for people."""

    field: str = Field(examples=["lines[0].quantity"])
    code: str = Field(examples=["not_positive"])
    message: str = Field(examples=["must be at least 1"])


class ProblemDocument(BaseModel):
    """RFC 9457 problem details; `code` is stable, `errors` lists every reason of a 422."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 problem found; nothing was stored"])
    code: str = Field(examples=["invalid"])
    errors: list[Reason] = Field(default_factory=list)


_SCHEMAS = "#/components/schemas/"


def _documented(description: str) -> dict[str, Any]:
    """Without FastAPI's `model`, which would promise `application/json` too."""
    return {"description": description, "content": {CONTENT_TYPE: {"schema": {"$ref": f"{_SCHEMAS}ProblemDocument"}}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: _documented("There is no such thing"),
    409: _documented("The rules forbid it, or the id was used for other content"),
    412: _documented("It has changed since you read it (If-Match)"),
    422: _documented("The input has problems; all are listed, nothing was stored"),
    503: _documented("A dependency is away or the queue is full; try again"),
}
"""For `APIRouter(responses=PROBLEMS)`: the problems every route may answer with."""

_BODY_PROBLEMS = {
    "400": _documented("The body is no UTF-8, or cannot be read for another reason"),
    "413": _documented("The body is larger than what is taken"),
}
"""The problems of every route that takes a body; added by `install_problems`."""

REQUIRED = "x-required"
"""In the schema of a parameter: it is checked with all else, so only the document can say that it must be there."""


def invalid(problems: Sequence[Problem]) -> None:
    """Raise ContractError (HTTP 422) if there is any problem."""
    if problems:
        raise ContractError(problems)


def install_problems(app: FastAPI) -> None:
    """Make the application answer every error as a problem document."""
    app.add_exception_handler(O2CError, _on_o2c_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)
    describe = app.openapi

    def with_problems() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(describe())
        return describe()

    app.openapi = with_problems  # type: ignore[method-assign]  # the way that FastAPI documents


def _complete(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template=_SCHEMAS + "{model}")
    schemas.update({**problem.pop("$defs"), "ProblemDocument": problem})
    for operation in _operations(document):
        if "requestBody" in operation:
            operation["responses"].update(_BODY_PROBLEMS)
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _never_null(parameter["schema"])
            parameter["required"] = parameter["schema"].pop(REQUIRED, parameter["required"])


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter without null: one that is not given is absent, and the text "null" is a text."""
    match schema:
        case {"anyOf": [only, {"type": "null"}], **rest}:
            return {**only, **rest}
    return schema


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from item.values()


def _allowed(request: Request) -> str:
    """The methods of a path. The router names those of the first route that it finds there alone."""
    paths = request.app.openapi()["paths"]
    methods = {m.upper() for path in paths if compile_path(path)[0].match(request.url.path) for m in paths[path]}
    return ", ".join(sorted(methods))


def problem_response(
    status: int, detail: str, code: str, errors: Sequence[Problem] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One problem document."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": p.field, "code": p.code, "message": p.message} for p in errors],
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=CONTENT_TYPE)


async def _on_o2c_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, O2CError)
    match error:
        case ContractError(problems=problems):
            found = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} found; nothing was stored"
            return problem_response(422, found, error.code, problems)
        case NotFoundError():
            return problem_response(404, error.message, error.code)
        case ConflictError(code="version"):
            return problem_response(412, error.message, error.code)
        case DomainError():
            return problem_response(409, error.message, error.code)
        case ConcurrencyError() | UnavailableError():
            return problem_response(503, error.message, error.code, headers={"Retry-After": "1"})
        case _:
            return problem_response(500, error.message, error.code)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        # Pydantic says before what a check of ours says that it is an error of a value.
        Problem(_path(e["loc"]), str(e["type"]), str(e["msg"]).removeprefix("Value error, "))
        for e in error.errors()
    ]
    found = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} found; nothing was stored"
    return problem_response(422, found, "invalid", problems)


def _path(location: Sequence[str | int]) -> str:
    """("body", "lines", 2, "sku") → lines[2].sku"""
    path = ""
    for part in location[1:] if location and location[0] == "body" else location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = getattr(error, "code", HTTPStatus(error.status_code).name.lower())
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "")
    return problem_response(error.status_code, str(error.detail), code, headers=headers)


async def _on_bug(_: Request, error: Exception) -> JSONResponse:
    # What is broken is for the log, where the server writes it; callers learn that it is not their fault.
    return problem_response(500, "an error of ours; it is in the log", "internal")
