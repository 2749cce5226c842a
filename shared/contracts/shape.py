"""Every problem of a body's shape at once: msgspec stops at the first, people want the list."""

from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from shared.errors import Problem

PROBLEMS_MAX = 100
"""More problems than this are not listed: nobody reads them."""


def problems_of(body: bytes, kind: type[Any]) -> list[Problem]:
    """The problems of a JSON body that is no `kind` (a message class); empty if it is one after all."""
    found: list[Problem] = []
    _collect(msgspec.json.decode(body), kind, "", found)
    return found[:PROBLEMS_MAX]


def _collect(value: Any, kind: Any, path: str, found: list[Problem]) -> None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        hints = get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            inner = f"{path}.{field.encode_name}" if path else field.encode_name
            if field.encode_name in value:
                _collect(value[field.encode_name], hints[field.name], inner, found)
            elif field.required:
                found.append(Problem(inner, "missing", "is required"))
    elif get_origin(kind) is tuple and isinstance(value, list):
        for i, item in enumerate(value):
            _collect(item, get_args(kind)[0], f"{path}[{i}]", found)
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            found.append(Problem(path, "shape", str(error).partition(" - at `")[0]))
