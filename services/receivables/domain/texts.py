"""Texts that come from outside: what every id, reference and name must meet before it enters a command."""

import unicodedata
from collections.abc import Sequence

from shared.errors import Problem

ID_LENGTH_MAX = 128


def text_problems(field: str, text: str, length_max: int, *, required: bool = False) -> Sequence[Problem]:
    """Why a text cannot be taken: missing, too long, or with control characters; none if it can."""
    if required and not text.strip():
        return (Problem(field, "missing", "must not be empty"),)
    if len(text) > length_max:
        return (Problem(field, "too_long", f"must have at most {length_max} characters"),)
    # isprintable() alone would refuse harmless spaces, but it is the cheap test that nearly all texts pass.
    if not text.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        return (Problem(field, "control_character", "must not contain control characters"),)
    return ()
