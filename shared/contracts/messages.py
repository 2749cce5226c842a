"""What makes a value a public message: its type name, topic, key and subject, all in one registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.values import Value


class Message(Value, frozen=True, gc=False):
    """A fact as the world may know it. Declare every subclass with `Speaker.says`; only ever add optional fields."""


@dataclass(frozen=True)
class Contract:
    """One public message type: its `name` (the CloudEvents type), who says it where, and which fields address it.

    `key`: the field that is the Kafka key (the customer wherever there is one, so that a customer's facts stay
    in order). `subject`: the field naming the order or other root that the message is about.
    """

    name: str
    topic: str
    speaker: str
    message: type[Message]
    key: str
    subject: str


M = TypeVar("M", bound=type[Message])

_by_type: dict[str, Contract] = {}
_by_class: dict[type[Message], Contract] = {}


@dataclass(frozen=True)
class Speaker:
    """A service (or the outside world) that says messages on a topic of its own."""

    name: str
    topic: str

    def says(self, *, key: str = "customer_id", subject: str = "order_id", version: int = 1) -> Callable[[M], M]:
        """Declare a message of this speaker; its type is `o2c.{speaker}.{Class}.v{version}`."""

        def declare(cls: M) -> M:
            name = f"o2c.{self.name}.{cls.__name__}.v{version}"
            contract = Contract(name, self.topic, self.name, cls, key, subject)
            _by_type[name] = contract
            _by_class[cls] = contract
            return cls

        return declare


def contract_of(cls: type[Any]) -> Contract:
    """The contract of a message class; KeyError for a class nobody declared."""
    return _by_class[cls]


def contracts() -> Mapping[str, Contract]:
    """Every declared contract by CloudEvents type. Complete once `shared.contracts.catalogue` is imported."""
    return _by_type
