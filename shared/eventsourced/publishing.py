"""Which own facts the world hears, as which public message, and under which key. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

from shared.contracts.messages import Contract, Message, contract_of

LANES = 48
"""Every key belongs to one of 48 lanes for ever, whatever the number of partitions; each lane is counted without
gaps by the speaker, and consumers deduplicate by (speaker, lane, sequence). 48 divides evenly by 1, 2, 3, 4, 6, 8,
12, 16, 24 and 48 partitions; more than 48 consumers of one topic would idle."""


SEQUENCE_MAX = 2**62
"""What is not below can be no sequence, nor be asked for in the store."""


def lane_of(key: str) -> int:
    """The lane of a Kafka key: CRC-32 modulo 48. Part of the stored contract, never to be changed."""
    return lane_of_bytes(key.encode())


def lane_of_bytes(key: bytes) -> int:
    """The same for a key as Kafka holds it."""
    return crc32(key) % LANES


@cache  # asked for with every record that is heard
def source_of(service: str) -> bytes:
    """The CloudEvents source of what a service says; listeners take nothing else from its topic."""
    return f"/o2c/{service}".encode()


@dataclass(frozen=True)
class Says:
    """How a fact becomes a public message. `of` builds it; the fact must have the contract's key field itself."""

    message: type[Message]
    of: Callable[[Any], Message]

    @property
    def contract(self) -> Contract:
        return contract_of(self.message)


def same(message: type[Message]) -> Says:
    """The message has the fact's fields of the same names."""
    names = message.__struct_fields__

    def build(fact: Any) -> Message:
        return message(*[getattr(fact, name) for name in names])

    return Says(message, build)


Publishing = Mapping[type[Any], Says]
"""Own fact class → how the world hears of it. Facts that are not in it stay private."""
