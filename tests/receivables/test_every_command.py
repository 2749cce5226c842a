"""Every command on an account with a closed, an open, a partly paid and a written off item."""

from datetime import date
from typing import Any

import pytest

from shared.errors import NotFoundError
from tests.receivables.given import apply, book, credit_note, pay, unapply, write_off
from tests.receivables.stories import NAMED, PAID_SHORT, WRITTEN_OFF, after, due, losses, new, unapplied

STATES = {
    "new": new,
    "open": after(book()),
    "partly paid": after(book(), pay(20_00, reference="INV-2026-1")),
    "closed": after(book(), pay(reference="INV-2026-1")),
    "with credit": after(book(), pay(150_00, reference="INV-2026-1")),
    "written off": WRITTEN_OFF,
    "paid short": PAID_SHORT,
    "written off, with credit": after(book(), pay(50_00, reference="X1"), write_off()),
    "written off in part": WRITTEN_OFF.when(pay(50_00, **NAMED)).when(unapply(50_00, 50_00, on=date(2026, 4, 3))),
}
COMMANDS = {
    "book": book(),
    "pay": pay(20_00, "P-9", reference="INV-2026-1"),
    "credit": credit_note(12_00),
    "apply": apply("P-1", 10),
    "unapply": unapply(10, 20_00),
    "write off": write_off(),
}
TABLE: dict[tuple[str, str], Any] = {
    ("new", "book"): ({"1": 120_00}, {}),
    ("new", "pay"): ({}, {"P-9": 20_00}),
    ("new", "credit"): ({}, {"CN-1": 12_00}),
    ("new", "apply"): NotFoundError,
    ("new", "write off"): NotFoundError,
    ("open", "book"): ({"1": 120_00}, {}),
    ("open", "pay"): ({"1": 100_00}, {}),
    ("open", "credit"): ({"1": 108_00}, {}),
    ("open", "apply"): NotFoundError,
    ("open", "write off"): ({}, {}),
    ("partly paid", "book"): ({"1": 100_00}, {}),
    ("partly paid", "pay"): ({"1": 80_00}, {}),
    ("partly paid", "credit"): ({"1": 88_00}, {}),
    ("partly paid", "apply"): NotFoundError,
    ("partly paid", "unapply"): ({"1": 100_10}, {"P-1": 10}),
    ("partly paid", "write off"): ({}, {}),
    ("closed", "book"): ({"1": 120_00}, {}),
    ("closed", "pay"): ({}, {"P-9": 20_00}),
    ("closed", "credit"): ({}, {"CN-1": 12_00}),
    ("closed", "apply"): NotFoundError,
    ("closed", "unapply"): ({"1": 10}, {"P-1": 10}),
    ("closed", "write off"): NotFoundError,
    ("with credit", "book"): ({"1": 90_00}, {}),
    ("with credit", "pay"): ({}, {"P-1": 30_00, "P-9": 20_00}),
    ("with credit", "credit"): ({}, {"P-1": 30_00, "CN-1": 12_00}),
    ("with credit", "apply"): NotFoundError,
    ("with credit", "unapply"): ({"1": 10}, {"P-1": 30_10}),
    ("with credit", "write off"): NotFoundError,
    ("written off", "book"): ({}, {}),
    ("written off", "pay"): ({}, {}),
    ("written off", "credit"): ({}, {}),
    ("written off", "apply"): NotFoundError,
    ("written off", "write off"): NotFoundError,
    ("paid short", "book"): ({}, {}),
    ("paid short", "pay"): ({}, {"P-9": 19_50}),
    ("paid short", "credit"): ({}, {"CN-1": 11_50}),
    ("paid short", "apply"): NotFoundError,
    ("paid short", "unapply"): ({"1": 60}, {"P-1": 10}),
    ("paid short", "write off"): NotFoundError,
    ("written off, with credit", "book"): ({}, {"P-1": 50_00}),
    ("written off, with credit", "pay"): ({}, {"P-1": 50_00}),
    ("written off, with credit", "credit"): ({}, {"P-1": 50_00}),
    ("written off, with credit", "apply"): ({}, {"P-1": 49_90}),
    ("written off, with credit", "write off"): NotFoundError,
    ("written off in part", "book"): ({"1": 50_00}, {"P-1": 50_00}),
    ("written off in part", "pay"): ({"1": 30_00}, {"P-1": 50_00}),
    ("written off in part", "credit"): ({"1": 38_00}, {"P-1": 50_00}),
    ("written off in part", "apply"): ({"1": 49_90}, {"P-1": 49_90}),
    ("written off in part", "write off"): ({}, {"P-1": 50_00}),
}
NEVER_APPLIED = {"new", "open", "written off", "written off, with credit", "written off in part"}
"""Where the caller has nothing to take back, so that there is no such command."""
LOST: dict[tuple[str, str], int] = {
    ("open", "write off"): 120_00,
    ("partly paid", "write off"): 100_00,
    ("written off", "book"): 120_00,
    ("written off", "pay"): 100_00,
    ("written off", "credit"): 108_00,
    ("paid short", "book"): 50,
    ("written off, with credit", "book"): 120_00,
    ("written off, with credit", "pay"): 100_00,
    ("written off, with credit", "credit"): 108_00,
    ("written off, with credit", "apply"): 119_90,
    ("written off in part", "book"): 70_00,
    ("written off in part", "pay"): 70_00,
    ("written off in part", "credit"): 70_00,
    ("written off in part", "apply"): 70_00,
    ("written off in part", "write off"): 120_00,
}
"""What is written off then; nothing where it is not said."""


def test_the_table_is_complete() -> None:
    asked = {(s, c) for s in STATES for c in COMMANDS if c != "unapply" or s not in NEVER_APPLIED}
    assert TABLE.keys() == asked
    assert LOST.keys() <= asked


@pytest.mark.parametrize(("state", "command"), TABLE)
def test_every_command_in_every_state(state: str, command: str) -> None:
    story, expected = STATES[state].when(COMMANDS[command]), TABLE[state, command]
    if isinstance(expected, type):
        story.then_refuses(expected)
    else:
        assert (due(story), unapplied(story)) == expected
        assert sum(losses(story).values()) == LOST.get((state, command), 0)
