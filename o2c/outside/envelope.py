"""Messages of the outside world as they go to Kafka: CloudEvents 1.0 in binary mode, one JSON body each."""

from datetime import UTC, datetime
from zlib import crc32

import msgspec

from shared.contracts.inbound import Customer, Order, Payment, Receipt, Shipment
from shared.contracts.messages import Message, contract_of
from shared.eventsourced.publishing import lane_of

_IDENTITIES: dict[type[Message], tuple[str, str]] = {
    Order: ("order_id", "/shop"),
    Customer: ("customer_id", "/shop"),
    Payment: ("payment_id", "/bank"),
    Shipment: ("shipment_id", "/warehouse"),
    Receipt: ("receipt_id", "/warehouse"),
}
"""Which field names a message of the outside world, and who says it."""

_encode = msgspec.json.Encoder().encode


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record: its topic, the lane of its key, key, body and headers."""

    topic: str
    lane: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def envelope(message: Message, at: datetime) -> Outgoing:
    """The record of an inbound message, said at this instant (with a zone).

    The id is made of the message's own identity and its content, so a repeat carries the same id and a change
    another. Raises KeyError for a message that the outside world does not say.
    """
    field, source = _IDENTITIES[type(message)]
    contract = contract_of(type(message))
    value = _encode(message)
    key: str = getattr(message, contract.key)
    headers = [
        ("ce_type", contract.name.encode()),
        ("ce_id", f"{getattr(message, field)}-{crc32(value):08x}".encode()),
        ("ce_source", source.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_time", at.astimezone(UTC).isoformat(timespec="microseconds").encode()),
        ("ce_subject", str(getattr(message, contract.subject)).encode()),
        ("content-type", b"application/json"),
    ]
    return Outgoing(contract.topic, lane_of(key), key.encode(), value, headers)
