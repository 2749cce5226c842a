"""Frozen values: the one base of facts, commands, states and public messages."""

import msgspec
from immutables import Map
from msgspec.structs import replace as evolved

__all__ = ["Map", "Value", "evolved"]


class Value(msgspec.Struct, frozen=True, gc=False):
    """An immutable record compared by content. Values never refer to themselves, so the collector skips them."""
