"""Columns as PostgreSQL array literals: one text parameter per column, cast to an array by the statement.

asyncpg looks at every element of a list parameter with slow abstract-class checks; a literal costs a third of that
here, and the server reads it in C.
"""

from collections.abc import Iterable
from typing import Any

_UNQUOTED = frozenset(
    ("bigint", "integer", "smallint", "numeric", "boolean", "date", "timestamptz", "timestamp with time zone")
)
"""Types whose values, written by `str`, hold none of the characters that mean something in an array literal."""


def array(values: Iterable[Any], kind: str) -> str:
    """The literal of an array of this type; None becomes NULL. For parameters written as `$1::text::bigint[]`."""
    if kind in _UNQUOTED:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'
