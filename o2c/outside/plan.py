"""How each order will be paid: planned from its id and a seed alone, so that every run pays the same way."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from zlib import crc32

from shared.money import BASIS_POINTS


class Kind(StrEnum):
    """A way of paying. All but `SHORT` end with the order paid and completed.

    `WRONG_REFERENCE` needs a person: money that names something else is never guessed to be for an invoice.
    """

    FULL = "full"
    TWO_PARTS = "two_parts"
    OVER = "over"
    SHORT = "short"
    LATE = "late"
    DOUBLE = "double"
    PREPAID = "prepaid"
    WRONG_REFERENCE = "wrong_reference"


DEMO_SHARES: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.TWO_PARTS: 800,
        Kind.OVER: 400,
        Kind.SHORT: 400,
        Kind.LATE: 500,
        Kind.DOUBLE: 400,
        Kind.PREPAID: 500,
        Kind.WRONG_REFERENCE: 300,
    }
)
"""Basis points of all orders that are paid in each way; the rest pays in full."""

ALL_IN_FULL: Mapping[Kind, int] = MappingProxyType({})


def kind_of(order_id: str, seed: int, shares: Mapping[Kind, int]) -> Kind:
    """The way this order is paid. The same id, seed and shares always give the same way."""
    ticket = crc32(f"{seed}/{order_id}".encode()) % BASIS_POINTS
    for kind, share in shares.items():
        if ticket < share:
            return kind
        ticket -= share
    return Kind.FULL
