"""Published messages only grow: a type or an optional field may be added, and nothing else may change."""

from copy import deepcopy
from typing import Any

import pytest

from shared.contracts.messages import Contract, Message, Speaker
from shared.values import Value
from tests.contracts.compatibility import PUBLISHED, Shape, breaks, published, shape_of, shapes_today

NAME = "o2c.shop.Sold.v1"


class Item(Value, frozen=True, gc=False):
    """A thing."""

    sku: str
    quantity: int


class Sold(Message, frozen=True, gc=False):
    """Something was sold."""

    order_id: str
    customer_id: str
    lines: tuple[Item, ...]
    total_minor: int
    reason: str = ""


BEFORE = shape_of(Contract(NAME, Speaker("shop", "o2c.shop.events").topic, "shop", Sold, "customer_id", "order_id"))


def test_no_published_message_has_changed() -> None:
    assert breaks(published(), shapes_today()) == []


def test_every_message_is_published_as_it_is_today() -> None:
    newest = {name: shapes[-1] for name, shapes in published().items()}
    unpublished = sorted(name for name, shape in shapes_today().items() if newest.get(name) != shape)
    assert unpublished == [], "run: python -m tests.contracts.compatibility"


def test_published_shapes_are_numbered_without_holes_and_named_after_their_type() -> None:
    for name, shapes in published().items():
        assert {shape["type"] for shape in shapes} == {name}
        for number in range(1, len(shapes) + 1):
            assert (PUBLISHED / f"{name}.{number}.json").exists()


def changed(**at: Any) -> Shape:
    """The shape of today with changes at dotted paths of its body; None takes out."""
    shape = deepcopy(BEFORE)
    for path, value in at.items():
        *outer, last = path.split("__")
        place: Any = shape
        for name in outer:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return shape


def found(today: Shape) -> list[str]:
    return breaks({NAME: [BEFORE]}, {NAME: today})


FIELDS = BEFORE["body"]["properties"]
REQUIRED = BEFORE["body"]["required"]
LINE = FIELDS["lines"]["items"]


def with_fields(**fields: Any) -> dict[str, Any]:
    """The fields of today with these changed or added; None takes one out."""
    return {name: field for name, field in {**FIELDS, **fields}.items() if field is not None}


def test_nothing_changed_passes() -> None:
    assert found(BEFORE) == []


def test_a_new_type_passes() -> None:
    assert breaks({NAME: [BEFORE]}, {NAME: BEFORE, "o2c.shop.Returned.v1": BEFORE}) == []


def test_a_new_optional_field_passes() -> None:
    assert found(changed(body__properties=with_fields(note={"type": "string", "default": ""}))) == []


def test_a_new_optional_field_of_a_line_passes() -> None:
    line = {**LINE, "properties": {**LINE["properties"], "note": {"type": "string", "default": ""}}}
    assert found(changed(body__properties__lines__items=line)) == []


def test_other_words_pass() -> None:
    sold = type("Sold", (Sold,), {"__doc__": "In other words."}, frozen=True, gc=False)
    today = shape_of(Contract(NAME, "o2c.shop.events", "shop", sold, "customer_id", "order_id"))
    assert found(today) == []


FORBIDDEN = {
    "its topic was o2c.shop.events and is o2c.store.events": changed(topic="o2c.store.events"),
    "its key was customer_id and is order_id": changed(key="order_id"),
    "its subject was order_id and is customer_id": changed(subject="customer_id"),
    "reason is gone": changed(body__properties=with_fields(reason=None)),
    "total_minor was": changed(body__properties=with_fields(total_minor={"type": "string"})),
    "format of order_id was": changed(body__properties=with_fields(order_id={"type": "string", "format": "uuid"})),
    "default of reason was": changed(body__properties=with_fields(reason={"type": "string", "default": "none"})),
    "reason is newly required": changed(body__required=[*REQUIRED, "reason"]),
    "total_minor is not always there any more": changed(body__required=[n for n in REQUIRED if n != "total_minor"]),
    "note is newly required": changed(
        body__required=[*REQUIRED, "note"], body__properties=with_fields(note={"type": "string"})
    ),
    "lines[].quantity is gone": changed(
        body__properties__lines__items={
            "type": "object",
            "properties": {"sku": {"type": "string"}},
            "required": ["sku"],
        }
    ),
    "lines[].quantity was": changed(
        body__properties__lines__items__properties={**LINE["properties"], "quantity": {"type": "number"}}
    ),
    "lines[].sku is not always there any more": changed(body__properties__lines__items__required=["quantity"]),
}


@pytest.mark.parametrize("sentence", FORBIDDEN)
def test_the_checker_catches(sentence: str) -> None:
    sentences = found(FORBIDDEN[sentence])
    assert [each for each in sentences if each.startswith(f"{NAME}: {sentence}")], sentences


def test_the_checker_catches_a_removed_type() -> None:
    assert breaks({NAME: [BEFORE]}, {}) == [f"{NAME} is gone"]


def test_the_checker_catches_a_renamed_field() -> None:
    today = changed(body__properties=with_fields(reason=None, why={"type": "string", "default": ""}))
    assert found(today) == [f"{NAME}: reason is gone"]


def test_the_checker_remembers_every_published_shape() -> None:
    """A field that was added and taken out again is missed by those who heard it in between."""
    between = changed(body__properties=with_fields(note={"type": "string", "default": ""}))
    assert breaks({NAME: [BEFORE, between]}, {NAME: BEFORE}) == [f"{NAME}: note is gone"]
