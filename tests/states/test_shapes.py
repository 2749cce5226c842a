"""A state of another shape is another version: a snapshot of the old shape must never be taken for one of the new."""

import json
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from o2c.documents.flow import load_services
from shared.eventsourced.decider import Decider
from shared.settings import Settings
from shared.values import Map

DECIDERS = [
    decider for service in load_services(Settings()).values() for decider in service.deciders if decider.snapshots
]
Shape = dict[str, dict[str, str]]


def shape_of(kind: type[msgspec.Struct], found: Shape | None = None) -> Shape:
    """Struct → field → type, of this one and of all that are in it."""
    found = {} if found is None else found
    if kind.__name__ not in found:
        hints = get_type_hints(kind)
        fields = found[kind.__name__] = {}
        for name in kind.__struct_fields__:
            fields[name] = _text_of(hints[name])
            for part in _structs_in(hints[name]):
                shape_of(part, found)
    return found


def _text_of(hint: Any) -> str:
    arguments = ["..." if argument is ... else _text_of(argument) for argument in get_args(hint)]
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(arguments)
    name = getattr(get_origin(hint) or hint, "__name__", repr(hint))
    return f"{name}[{', '.join(arguments)}]" if arguments else name


def _structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [struct for argument in get_args(hint) for struct in _structs_in(argument)]


def kept_at(decider: Decider[Any, Any, Any]) -> Path:
    return Path(__file__).parent / f"{decider.name}.v{decider.state_version}.json"


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider.name)
def test_the_shape_of_a_state_is_the_one_kept_for_its_version(decider: Decider[Any, Any, Any]) -> None:
    """Fails? Raise the decider's `state_version`, and keep the new shape beside the old ones, never edited."""
    shape = json.dumps(shape_of(type(decider.initial)), indent=2) + "\n"
    path = kept_at(decider)
    assert path.is_file(), f"keep this as {path.name}:\n{shape}"
    assert shape == path.read_text(), f"raise state_version of {decider.name}"


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider.name)
def test_a_version_is_never_taken_back(decider: Decider[Any, Any, Any]) -> None:
    versions = {path.name for path in Path(__file__).parent.glob(f"{decider.name}.v*.json")}
    assert versions == {f"{decider.name}.v{n}.json" for n in range(1, decider.state_version + 1)}


class _Inner(msgspec.Struct):
    size: int


class _Outer(msgspec.Struct):
    inner: Map[str, _Inner]
    kind: _Inner | None = None


def test_a_shape_holds_every_struct_it_is_made_of() -> None:
    inner = {"size": "int"}
    assert shape_of(_Outer) == {
        "_Outer": {"inner": "Map[str, _Inner]", "kind": "_Inner | NoneType"},
        "_Inner": inner,
    }
