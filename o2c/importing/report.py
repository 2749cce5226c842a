"""The account of an import: every row is taken or refused, and both sums together are the file's."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from o2c.importing.rows import EXACT, Amount, Reason
from shared.contracts.inbound import Order
from shared.money import EXPONENTS


@dataclass
class Sums:
    """Σ quantity × unit price in one currency: of the whole file, and of its two parts."""

    file: Decimal = Decimal(0)
    taken: Decimal = Decimal(0)
    refused: Decimal = Decimal(0)

    @property
    def balanced(self) -> bool:
        return EXACT.add(self.taken, self.refused) == self.file


@dataclass
class ImportReport:
    """Grows while a file is read. `taken` counts rows inside yielded orders, so a lost row shows as a difference."""

    format: str = ""
    rows: int = 0
    taken: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    orders: int = 0
    customers: int = 0
    sums: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))

    @property
    def balanced(self) -> bool:
        """Whether rows and sums of both parts are those of the file."""
        return self.rows == self.taken + self.refused.total() and all(s.balanced for s in self.sums.values())

    def read(self, amount: Amount) -> None:
        """A row came out of the file."""
        self.rows += 1
        sums = self.sums[amount.currency]
        sums.file = EXACT.add(sums.file, amount.value)

    def refuse(self, reason: Reason, amount: Amount) -> None:
        """A row was not taken."""
        self.refused[reason] += 1
        sums = self.sums[amount.currency]
        sums.refused = EXACT.add(sums.refused, amount.value)

    def take(self, order: Order) -> None:
        """An order left the reader; its sum is counted from the message, not from the file's text."""
        self.orders += 1
        self.taken += len(order.lines)
        minor = sum(line.quantity * line.unit_price_minor for line in order.lines)
        sums = self.sums[order.currency]
        sums.taken = EXACT.add(sums.taken, Decimal(minor).scaleb(-EXPONENTS[order.currency]))

    def as_json(self) -> dict[str, Any]:
        """One JSON object; amounts are decimal texts, so that nothing rounds them."""
        return {
            "format": self.format,
            "rows": self.rows,
            "taken": self.taken,
            "refused": dict(sorted(self.refused.items())),
            "orders": self.orders,
            "customers": self.customers,
            "sums": {
                currency: {"file": f"{s.file:f}", "taken": f"{s.taken:f}", "refused": f"{s.refused:f}"}
                for currency, s in sorted(self.sums.items())
            },
            "balanced": self.balanced,
        }
