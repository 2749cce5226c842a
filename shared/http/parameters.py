"""Parameters that many routes take: page cursors and limits, days, If-Match, traceparent."""

from datetime import date
from typing import Annotated

from fastapi import Depends, Header, Query
from pydantic import BeforeValidator

from shared.errors import ContractError, Problem
from shared.http.described import described
from shared.http.problems import REQUIRED
from shared.tracing import traceparent_of

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500

Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the page before")]


def _written_day(value: object) -> object:
    # Without this a number would be taken for seconds since 1970.
    if isinstance(value, date) or (isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-"):
        return value
    raise ValueError("must be a day such as 2026-03-31")


Day = Annotated[date, BeforeValidator(_written_day)]
"""A day, written as YYYY-MM-DD and in no other way."""


async def _trace(traceparent: Annotated[str, Header(description="W3C trace context")] = "") -> str:
    return traceparent_of(traceparent.encode("ascii", "replace"))


Trace = Annotated[str, Depends(_trace)]
"""The caller's W3C traceparent, or "" when there is none."""


def etag(version: int) -> str:
    """The entity tag of an aggregate at this stream version."""
    return f'"{version}"'


_ONE_ETAG = r'(W/)?"?[0-9]{1,17}"?'
_ETAG = rf"^(\*|{_ONE_ETAG})$"


async def _expected_version(
    if_match: Annotated[
        Annotated[str, described(pattern=_ETAG)] | None, Header(description="ETag of the version you have seen")
    ] = None,
) -> int | None:
    if if_match is None or if_match == "*":
        return None
    text = if_match.removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise ContractError([Problem("If-Match", "etag", 'must be an ETag that we gave, such as "3"')])
    return int(text)


ExpectedVersion = Annotated[int | None, Depends(_expected_version)]
"""The version in If-Match, None when the caller does not care. Hand it to `To(expected_version=…)`."""


async def _seen_version(
    if_match: Annotated[
        Annotated[str, described(pattern=f"^{_ONE_ETAG}$")] | None,
        Header(description="ETag of the version you have seen", json_schema_extra={REQUIRED: True}),
    ] = None,
) -> int | None:
    return await _expected_version(if_match)


SeenVersion = Annotated[int | None, Depends(_seen_version)]
"""As `ExpectedVersion`, for routes that refuse None: the document says that If-Match is required."""
