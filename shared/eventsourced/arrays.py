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


_BETWEEN = "\0"
"""No text that PostgreSQL takes holds it: what was joined by it is escaped at once and divided again."""


def array(values: Iterable[Any], kind: str) -> str:
    """The literal of an array of this type; None becomes NULL. For parameters written as `$1::text::bigint[]`."""
    if kind in _UNQUOTED:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    values = list(values)
    joined = _joined(values)
    if joined is None:
        return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"
    return '{"' + _escaped(joined).replace(_BETWEEN, '","') + '"}'


def _joined(texts: list[Any]) -> str | None:
    """None where they cannot be told apart again: some are None, there are none, or one holds what is between them."""
    try:
        joined = _BETWEEN.join(texts)
    except TypeError:
        return None
    return joined if joined.count(_BETWEEN) == len(texts) - 1 else None


def _escaped(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return text
