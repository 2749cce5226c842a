"""How many examples a property is tried with: as many as it says in `make test`, a fifth of them in `make check`."""

from typing import Any

from hypothesis import settings

USUAL = 100
"""Of a property that says nothing."""


def examples(count: int, **more: Any) -> settings:
    """So many examples, for a property that wants more or fewer than the usual 100; more: other settings of it."""
    return settings(max_examples=max(1, count * settings.default.max_examples // USUAL), **more)
