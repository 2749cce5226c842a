"""The face towards people and programs: problems, pages, entity tags, limits, settings without secrets."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from shared.errors import ConflictError, ContractError, DomainError, NotFoundError, Problem, UnavailableError
from shared.eventsourced.letters import BODY_KEPT_MAX
from shared.frame.http import BodyLimit
from shared.http import ExpectedVersion, Trace, decode_cursor, etag, install_problems, page_of
from shared.http.pages import encode_cursor
from shared.settings import Settings

ERRORS: dict[str, tuple[Exception, int, str]] = {
    "domain": (DomainError("no"), 409, "refused"),
    "missing": (NotFoundError("no"), 404, "not_found"),
    "conflict": (ConflictError("no"), 409, "conflict"),
    "version": (ConflictError("no", code="version"), 412, "version"),
    "contract": (ContractError([Problem("a", "b", "c"), Problem("d", "e", "f")]), 422, "invalid"),
    "away": (UnavailableError("no"), 503, "unavailable"),
    "bug": (AssertionError("secret detail"), 500, "internal"),
}


class Thing(BaseModel):
    lines: list[int]


def application() -> FastAPI:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyLimit, bytes_max=1_000)

    @app.get("/errors/{name}")
    async def fail(name: str) -> None:
        raise ERRORS[name][0]

    @app.post("/things")
    async def things(thing: Annotated[Thing, Body()]) -> int:
        return len(thing.lines)

    @app.get("/things")
    async def list_things() -> list[int]:
        return []

    @app.get("/version")
    async def version(expected: ExpectedVersion, trace: Trace) -> dict[str, Any]:
        return {"expected": expected, "trace": trace}

    return app


@pytest.fixture
async def client() -> Any:
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("name", ERRORS)
async def test_every_error_is_a_problem_document(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"/errors/{name}")
    _, status, code = ERRORS[name]
    assert (response.status_code, response.json()["status"], response.json()["code"]) == (status, status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


async def test_every_reason_is_told_with_its_path(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", json={"lines": [1, "x", "y"]})
    assert [error["field"] for error in response.json()["errors"]] == ["lines[1]", "lines[2]"]
    assert len((await client.get("/errors/contract")).json()["errors"]) == 2
    assert (await client.get("/errors/away")).headers["retry-after"] == "1"


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/nowhere"), await client.delete("/things")):
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_is_told_all_that_are_allowed(client: httpx.AsyncClient) -> None:
    response = await client.put("/things")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    assert (await client.put("/errors/bug")).headers["allow"] == "GET"


async def test_a_body_that_is_no_text_is_a_problem_as_documented(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", content=b"\xff", headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["status"]) == (400, 400)
    documented = application().openapi()["paths"]["/things"]
    assert {"400", "413"} <= documented["post"]["responses"].keys()
    assert not {"400", "413"} & documented["get"]["responses"].keys()


async def test_a_body_over_the_limit_is_refused_whether_or_not_its_length_is_told(client: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100

    for content in (b" " * 1_001, chunks()):
        response = await client.post("/things", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
    assert (await client.post("/things", content=b'{"lines":[]}' + b" " * 900)).status_code in (200, 422)


@pytest.mark.parametrize(("tag", "version"), [(etag(3), 3), ('W/"12"', 12), ("7", 7), ("*", None), (None, None)])
async def test_if_match_is_the_version_one_has_seen(client: httpx.AsyncClient, tag: Any, version: Any) -> None:
    response = await client.get("/version", headers={"if-match": tag} if tag else {})
    assert response.json()["expected"] == version


@pytest.mark.parametrize("tag", ['""', '"x"', '"-1"', '"3", "4"', '"' + "9" * 18 + '"', '"3.0"'])
async def test_an_entity_tag_that_we_never_gave_is_a_problem(client: httpx.AsyncClient, tag: str) -> None:
    assert (await client.get("/version", headers={"if-match": tag})).status_code == 422


async def test_a_traceparent_that_cannot_be_read_does_not_fail_a_request(client: httpx.AsyncClient) -> None:
    good = f"00-{'a' * 32}-{'b' * 16}-01"
    for sent, taken in ((good, good), ("nonsense", ""), (good.upper(), "")):
        assert (await client.get("/version", headers={"traceparent": sent})).json()["trace"] == taken


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8", exclude_characters="\x00"))))
def test_a_cursor_is_read_as_it_was_given(key: list[Any]) -> None:
    assert decode_cursor(encode_cursor(key), *map(type, key)) == key


@given(
    st.text()
    | st.lists(st.integers() | st.none() | st.floats(allow_nan=False)).map(str).map(lambda t: encode_cursor([t]))
)
def test_a_cursor_that_we_never_gave_is_a_contract_error(cursor: str) -> None:
    with pytest.raises(ContractError):
        decode_cursor(cursor, int)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_cursor_with_a_number_that_no_row_can_have_is_a_contract_error(number: int) -> None:
    import base64
    import json

    cursor = base64.urlsafe_b64encode(json.dumps([number]).encode()).decode()
    with pytest.raises(ContractError):
        decode_cursor(cursor, int)


@pytest.mark.parametrize(("count", "shown", "more"), [(0, 0, False), (3, 3, False), (4, 3, True)])
def test_a_page_has_a_next_one_only_if_there_is_more(count: int, shown: int, more: bool) -> None:
    page = page_of([{"id": n} for n in range(count)], 3, lambda row: (row["id"],))
    assert len(page["items"]) == shown
    assert page["next"] == (encode_cursor([2]) if more else None)


# ---- settings


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hunter2@db:5432", "postgresql://db:5432?user=me&password=hunter2", "postgresql://:hunter2@db"],
)
def test_secrets_are_shown_to_nobody(url: str) -> None:
    settings = Settings(database_url=url)
    assert "hunter2" not in str(settings.shown())
    assert "db" in settings.shown()["database_url"]
    assert "hunter2" in settings.database_of("credit")
    assert "/o2c_credit" in settings.database_of("credit")


@pytest.mark.parametrize(
    "value",
    [
        {"kafka_partitions": 0},
        {"kafka_partitions": 49},
        {"http_port": 70000},
        {"billing_time_zone": "Moon/Base"},
        {"log_level": "LOUD"},
        {"heads_seconds": 0},
        {"shutdown_seconds": -1},
        {"billing_time_zone": "../etc/passwd"},
    ],
)
def test_a_setting_out_of_its_range_is_refused_at_start(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_CONSUME_RECORDS_MAX", "77")
    assert Settings().consume_records_max == 77


def test_a_body_that_is_taken_is_kept_whole_when_it_is_parked() -> None:
    assert Settings(body_bytes_max=BODY_KEPT_MAX).body_bytes_max == BODY_KEPT_MAX
    with pytest.raises(ValidationError):
        Settings(body_bytes_max=BODY_KEPT_MAX + 1)
