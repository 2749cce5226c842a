"""What may change in a published message: a type or an optional field may be added, nothing else.

Run as a program it writes the shapes that are new today into `published/`, next to those that are there.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.contracts.catalogue import contracts
from shared.contracts.messages import Contract
from shared.contracts.schemas import schema_of

PUBLISHED = Path(__file__).parent / "published"
WORDS = frozenset({"$schema", "$id", "title", "description", "examples", "x-unit", "x-kafka"})
"""What a schema says to people; it may change at any time."""

ADDRESS = ("topic", "key", "subject")

Shape = dict[str, Any]


def shape_of(contract: Contract) -> Shape:
    """What listeners rely on: where a message is found, how it is addressed, and what is in it."""
    schema = schema_of(contract)
    body = _without_words({name: part for name, part in schema.items() if name != "$defs"}, schema.get("$defs", {}))
    return {"type": contract.name, **{name: getattr(contract, name) for name in ADDRESS}, "body": body}


def shapes_today() -> dict[str, Shape]:
    """The shape of every message type in the catalogue."""
    return {name: shape_of(contract) for name, contract in contracts().items()}


def published() -> dict[str, list[Shape]]:
    """Every shape that a message type ever had, oldest first."""
    shapes: dict[str, list[tuple[int, Shape]]] = defaultdict(list)
    for path in PUBLISHED.glob("*.json"):
        name, _, number = path.stem.rpartition(".")
        shapes[name].append((int(number), json.loads(path.read_text("utf-8"))))
    return {name: [shape for _, shape in sorted(found, key=lambda each: each[0])] for name, found in shapes.items()}


def breaks(before: Mapping[str, Sequence[Shape]], today: Mapping[str, Shape]) -> list[str]:
    """What listeners to the published shapes would stumble over, one sentence each; empty when nothing."""
    found = []
    for name, shapes in sorted(before.items()):
        if name not in today:
            found.append(f"{name} is gone")
            continue
        for shape in shapes:
            found.extend(f"{name}: {what}" for what in _shape_breaks(shape, today[name]))
    return list(dict.fromkeys(found))


def _shape_breaks(before: Shape, today: Shape) -> Iterator[str]:
    for name in ADDRESS:
        if before[name] != today[name]:
            yield f"its {name} was {before[name]} and is {today[name]}"
    yield from _body_breaks(before["body"], today["body"], "")


def _body_breaks(before: Any, today: Any, path: str) -> Iterator[str]:
    """Objects may gain optional fields; everything else must be equal."""
    if not isinstance(before, dict) or not isinstance(today, dict) or before.get("type") != today.get("type"):
        if before != today:
            yield f"{path or 'the body'} was {before} and is {today}"
        return
    for keyword in sorted((before.keys() | today.keys()) - {"properties", "required", "items"}):
        if before.get(keyword) != today.get(keyword):
            yield f"{keyword} of {path or 'the body'} was {before.get(keyword)} and is {today.get(keyword)}"
    if ("items" in before) != ("items" in today):
        yield f"{path} holds other items"
    elif "items" in before:
        yield from _body_breaks(before["items"], today["items"], f"{path}[]")
    yield from _field_breaks(before, today, path)


def _field_breaks(before: Mapping[str, Any], today: Mapping[str, Any], path: str) -> Iterator[str]:
    fields_before, fields = before.get("properties", {}), today.get("properties", {})
    required_before, required = set(before.get("required", ())), set(today.get("required", ()))
    for name in fields_before:
        where = f"{path}.{name}".lstrip(".")
        if name not in fields:
            yield f"{where} is gone"
        else:
            yield from _body_breaks(fields_before[name], fields[name], where)
    for name in sorted(required - required_before):
        yield f"{f'{path}.{name}'.lstrip('.')} is newly required"
    for name in sorted((required_before - required) & fields.keys()):
        yield f"{f'{path}.{name}'.lstrip('.')} is not always there any more"


def _without_words(schema: Any, parts: Mapping[str, Any]) -> Any:
    """The schema with references put in place and without what only people read."""
    if isinstance(schema, list):
        return [_without_words(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _without_words(parts[schema["$ref"].rpartition("/")[2]], parts)
    bare = {name: value for name, value in schema.items() if name not in WORDS}
    return {
        name: {field: _without_words(each, parts) for field, each in value.items()}
        if name == "properties"
        else _without_words(value, parts)
        for name, value in bare.items()
    }


def publish() -> list[Path]:
    """Add today's shapes that were not published yet; the files written. Nothing is written if something breaks."""
    before, today = published(), shapes_today()
    if found := breaks(before, today):
        raise SystemExit("\n".join(found))
    written = []
    for name, shape in sorted(today.items()):
        shapes = before.get(name, [])
        if shapes and shapes[-1] == shape:
            continue
        path = PUBLISHED / f"{name}.{len(shapes) + 1}.json"
        path.write_text(json.dumps(shape, indent=2) + "\n", "utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for each in publish():
        print(each.name, file=sys.stderr)
