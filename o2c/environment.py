"""The settings of this environment, for commands."""

from typing import Any

from shared.settings import Settings


def settings(**given: Any) -> Settings:
    """Settings as the environment says, with these instead where given. ValidationError if they are wrong."""
    return Settings(**given)
