"""Kafka records as aiokafka hands them over, made by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from shared.contracts.orders import OrderPlaced
from shared.eventsourced.publishing import lane_of

TOPIC = "o2c.order.events"
SPEAKERS = {TOPIC: "order"}
INBOUND = "o2c.inbound.orders"

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass
class Record:
    """The parts of a ConsumerRecord that are looked at."""

    value: bytes | None = b"{}"
    headers: Headers = ()
    topic: str = TOPIC
    key: bytes | None = b"C-1"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_700_000_000_000


def placed(order_id: str = "O-1", customer_id: str = "C-1", total_minor: int = 100) -> OrderPlaced:
    """A small message of the order service."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return OrderPlaced(order_id, customer_id, "GBP", (), total_minor, 0, total_minor, at)


def body_of(message: object) -> bytes:
    """The JSON body of a message."""
    return msgspec.json.encode(message)


def headers_of(
    message_id: str, lane: int, sequence: int, kind: str = "o2c.order.OrderPlaced.v1", speaker: str = "order"
) -> Headers:
    """The headers that a relay gives a message with a position."""
    return (
        ("ce_type", kind.encode()),
        ("ce_id", message_id.encode()),
        ("ce_source", f"/o2c/{speaker}".encode()),
        ("ce_lane", b"%d" % lane),
        ("ce_lanesequence", b"%d" % sequence),
    )


def order_record(sequence: int, customer_id: str = "C-1", total_minor: int = 100, version: int = 1) -> Record:
    """OrderPlaced of an order of its own, as the order service's relay says it."""
    order_id = f"O-{customer_id}-{sequence}"
    message = placed(order_id, customer_id, total_minor)
    headers = headers_of(f"order-{order_id}@{version}", lane_of(customer_id), sequence)
    return Record(body_of(message), headers, key=customer_id.encode())


def orders(*sequences: int, customer: str = "C-1") -> list[Record]:
    """Records of orders of one customer."""
    return [order_record(n, customer) for n in sequences]


def ids(*sequences: int, customer: str = "C-1") -> list[str]:
    """The ids of these orders."""
    return [f"O-{customer}-{n}" for n in sequences]


def poison(sequence: int, order_id: str = "P", version: int = 1, value: bytes | None = b"no json") -> Record:
    """A record in the lane of customer C-1 whose body is no message."""
    return Record(value, headers_of(f"order-{order_id}@{version}", lane_of("C-1"), sequence))
