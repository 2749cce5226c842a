"""What comes from outside becomes a command here, from Kafka and HTTP alike; every problem is found at once."""

from collections.abc import Iterable
from datetime import UTC, datetime

from services.fulfillment.domain.adjustment import RegisterAdjustment
from services.fulfillment.domain.fulfillment import AuthorizeReturn, ConfirmDelivery, ReceiveReturn, RecordShipment
from services.fulfillment.domain.fulfillment_state import NamedLine, ShipmentNotice
from services.fulfillment.domain.receipt import RegisterReceipt
from shared.errors import ContractError, Problem

TEXT_LENGTH_MAX = 128
"""Characters of an id, a carrier or a tracking number."""

REASON_LENGTH_MAX = 500
"""Characters of a reason that a person gives."""

QUANTITY_MAX = 10**9
"""Largest quantity of one line, receipt or adjustment: sums of billions of them still fit a 64-bit integer."""

LINE_NO_MAX = 10**6
LINES_MAX = 10_000
YEAR_MIN, YEAR_MAX = 1970, 2999


def shipment_command(
    shipment_id: str, order_id: str, lines: Iterable[tuple[int, int]], shipped_at: datetime, carrier: str, tracking: str
) -> RecordShipment:
    """A shipment as the warehouse says it; `lines` are (line_no, quantity). Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("shipment_id", shipment_id)
    found.check_id("order_id", order_id)
    named = found.named_lines(lines)
    at = found.instant("shipped_at", shipped_at)
    found.check_text("carrier", carrier, TEXT_LENGTH_MAX)
    found.check_text("tracking", tracking, TEXT_LENGTH_MAX)
    found.raise_if_any()
    return RecordShipment(shipment_id, order_id, ShipmentNotice(named, at, carrier, tracking))


def receipt_command(receipt_id: str, sku: str, quantity: int) -> RegisterReceipt:
    """Goods that came in. Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("receipt_id", receipt_id)
    found.check_id("sku", sku)
    found.check_quantity("quantity", quantity)
    found.raise_if_any()
    return RegisterReceipt(receipt_id, sku, quantity)


def adjustment_command(adjustment_id: str, sku: str, quantity_delta: int, reason: str) -> RegisterAdjustment:
    """A corrected count; `quantity_delta` is not 0. Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("adjustment_id", adjustment_id)
    found.check_id("sku", sku)
    if quantity_delta == 0 or abs(quantity_delta) > QUANTITY_MAX:
        found.add("quantity_delta", "out_of_range", f"must not be 0, and at most {QUANTITY_MAX} up or down")
    found.check_text("reason", reason, REASON_LENGTH_MAX)
    found.raise_if_any()
    return RegisterAdjustment(adjustment_id, sku, quantity_delta, reason)


def delivery_command(shipment_id: str, order_id: str, delivered_at: datetime) -> ConfirmDelivery:
    """A shipment that arrived. Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("shipment_id", shipment_id)
    found.check_id("order_id", order_id)
    at = found.instant("delivered_at", delivered_at)
    found.raise_if_any()
    return ConfirmDelivery(shipment_id, order_id, at)


def return_command(return_id: str, order_id: str, lines: Iterable[tuple[int, int]], reason: str) -> AuthorizeReturn:
    """What a customer may send back; at least one (line_no, quantity). Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("return_id", return_id)
    found.check_id("order_id", order_id)
    named = found.named_lines(lines)
    if not named:
        found.add("lines", "empty", "must name at least one line")
    found.check_text("reason", reason, REASON_LENGTH_MAX)
    found.raise_if_any()
    return AuthorizeReturn(return_id, order_id, named, reason)


def return_receipt_command(
    return_id: str, order_id: str, lines: Iterable[tuple[int, int]], received_at: datetime, restocked: bool
) -> ReceiveReturn:
    """What a customer sent back; no lines: all that was authorized. Raises ContractError with all problems."""
    found = _Problems()
    found.check_id("return_id", return_id)
    found.check_id("order_id", order_id)
    named = found.named_lines(lines)
    at = found.instant("received_at", received_at)
    found.raise_if_any()
    return ReceiveReturn(return_id, order_id, named, at, restocked)


class _Problems:
    """Collects every reason why input cannot be taken."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, field: str, code: str, message: str) -> None:
        self._found.append(Problem(field, code, message))

    def raise_if_any(self) -> None:
        if self._found:
            raise ContractError(self._found)

    def check_id(self, field: str, value: str) -> None:
        if not value or value != value.strip():
            self.add(field, "blank", "must not be empty or have blanks around it")
        self.check_text(field, value, TEXT_LENGTH_MAX)

    def check_text(self, field: str, value: str, length_max: int) -> None:
        if len(value) > length_max:
            self.add(field, "too_long", f"must have at most {length_max} characters")
        if not value.isprintable():
            self.add(field, "not_printable", "must have printable characters only")

    def check_quantity(self, field: str, value: int) -> None:
        if not 1 <= value <= QUANTITY_MAX:
            self.add(field, "out_of_range", f"must be from 1 to {QUANTITY_MAX}")

    def instant(self, field: str, value: datetime) -> datetime:
        """The instant in UTC, as equal instants must be equal content."""
        if value.tzinfo is None or value.utcoffset() is None:
            self.add(field, "no_zone", "must carry a time zone")
        elif not YEAR_MIN <= value.year <= YEAR_MAX:
            self.add(field, "out_of_range", f"must be in the years {YEAR_MIN} to {YEAR_MAX}")
        else:
            return value.astimezone(UTC)
        return value

    def named_lines(self, lines: Iterable[tuple[int, int]]) -> tuple[NamedLine, ...]:
        """Lines sorted by number, as their order has no meaning."""
        named: dict[int, int] = {}
        for i, (line_no, quantity) in enumerate(lines):
            if not 1 <= line_no <= LINE_NO_MAX:
                self.add(f"lines[{i}].line_no", "out_of_range", f"must be from 1 to {LINE_NO_MAX}")
            if line_no in named:
                self.add(f"lines[{i}].line_no", "duplicate", "is named twice")
            self.check_quantity(f"lines[{i}].quantity", quantity)
            named[line_no] = quantity
        if len(named) > LINES_MAX:
            self.add("lines", "too_many", f"must be at most {LINES_MAX}")
        return tuple([NamedLine(line_no, quantity) for line_no, quantity in sorted(named.items())])
