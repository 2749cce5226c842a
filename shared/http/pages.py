"""Cursor pages: stable under inserts, no offsets. The cursor is the key of the last row, opaque to callers."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, Field

from shared.errors import ContractError, Problem

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page; `next` is the cursor of the page after it, null on the last."""

    items: list[T]
    next: str | None = Field(default=None, description="Pass as `cursor` to get the page after this one")


def encode_cursor(values: Sequence[str | int]) -> str:
    """The key of a row as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(values))).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: type[Any]) -> list[Any] | None:
    """The key in a cursor, one value per type; None for the first page. ContractError for what we never gave."""
    if cursor is None:
        return None
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        values = None
    fits = isinstance(values, list) and len(values) == len(types)
    if not fits or not all(type(v) is t for v, t in zip(values, types, strict=True)):
        raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    for value in values:
        if "\x00" in value if isinstance(value, str) else not -(2**63) <= value < 2**63:
            raise ContractError([Problem("cursor", "cursor", "must be the `next` of an earlier page")])
    return values  # type: ignore[no-any-return]


def page_of(
    rows: Sequence[Mapping[str, Any]], limit: int, key: Callable[[Mapping[str, Any]], Sequence[str | int]]
) -> dict[str, Any]:
    """A page from `limit + 1` rows asked for: the extra row only says that there is a next page."""
    shown = rows[:limit]
    following = encode_cursor(key(shown[-1])) if len(rows) > limit else None
    return {"items": [dict(row) for row in shown], "next": following}
