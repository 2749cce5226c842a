"""How far the orders of a run have come, from what the system says; repeats of a message change nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from o2c.outside.heard import Applied, Completed, Held, Invoice, Paid, Placed, Received, Said
from o2c.outside.plan import Kind
from shared.contracts.inbound import Payment


class Progress:
    """The orders of `plans` and no others, from placed to their planned end.

    That is completed, or for short payers invoiced with a rest that stays due.
    """

    def __init__(self, plans: Mapping[str, Kind]) -> None:
        self._plans = plans
        self._paid_at: dict[str, datetime] = {}
        self._placed_at: dict[str, datetime] = {}
        self._sent: set[str] = set()
        self._seen: set[str] = set()
        self.held: set[str] = set()
        self.shipped: set[str] = set()
        self.completed: set[str] = set()
        self.short: set[str] = set()
        self.final: set[str] = set()
        self.invoices: dict[str, tuple[str, int]] = {}
        self.payments: dict[str, tuple[str, int]] = {}
        self.applied_minor: Counter[str] = Counter()

    @property
    def placed(self) -> int:
        """How many orders were placed."""
        return len(self._placed_at)

    @property
    def finished(self) -> int:
        """How many orders are in their planned end."""
        return len(self.completed) + len(self.short)

    @property
    def done(self) -> bool:
        """Whether every order is in its planned end and every payment was received."""
        return self.finished == len(self._plans) and self._sent <= self.payments.keys()

    def hear(self, said: Said[object]) -> None:
        """Take note of a message."""
        match said.message:
            case Placed(order_id=order_id) if order_id in self._plans:
                self._placed_at.setdefault(order_id, said.at)
            case Held(order_id=order_id):
                self.held.add(order_id)
            case Completed(order_id=order_id) if order_id in self._plans:
                self.completed.add(order_id)
                self.short.discard(order_id)
            case Invoice() as invoice:
                self._invoiced(invoice)
            case Received(payment_id=payment_id, amount_minor=amount, currency=currency):
                self.payments[payment_id] = (currency, amount)
            case Applied() as applied:
                self._applied(said.id, applied)
            case Paid(order_id=order_id):
                self._paid_at[order_id] = max(said.at, self._paid_at.get(order_id, said.at))
            case _:
                pass

    def _invoiced(self, invoice: Invoice) -> None:
        if invoice.order_id not in self._plans:
            return
        self.invoices[invoice.invoice_id] = (invoice.currency, invoice.total_minor)
        if not invoice.final:
            return
        self.final.add(invoice.order_id)
        if self._plans[invoice.order_id] is Kind.SHORT and invoice.order_id not in self.completed:
            self.short.add(invoice.order_id)

    def sent(self, payments: Iterable[Payment]) -> None:
        """These payments were sent and must be received."""
        self._sent.update(payment.payment_id for payment in payments)

    def _applied(self, message_id: str, applied: Applied) -> None:
        if applied.order_id in self._plans and message_id not in self._seen:
            self._seen.add(message_id)
            self.applied_minor[applied.currency] += applied.amount_minor

    @property
    def received(self) -> dict[str, tuple[str, int]]:
        """The payments of this run that were received: id → (currency, minor units)."""
        return {payment_id: self.payments[payment_id] for payment_id in self._sent & self.payments.keys()}

    def invoiced_minor(self) -> Counter[str]:
        """Σ of all invoices heard, minor units per currency."""
        return _sum(self.invoices)

    def received_minor(self) -> Counter[str]:
        """Σ of all payments heard, minor units per currency."""
        return _sum(self.received)

    def missing(self, limit: int = 5) -> str:
        """What is not done yet, for people, with up to `limit` ids each."""
        orders = self._plans.keys()
        stages = {
            "not placed": orders - self._placed_at.keys(),
            "held and not invoiced": (orders & self.held) - self.final,
            "placed and not fully invoiced": (orders & self._placed_at.keys()) - self.held - self.final,
            "invoiced and not completed": (orders & self.final) - self.completed - self.short,
            "payments not received": self._sent - self.payments.keys(),
        }
        parts = [
            f"{len(ids)} {stage} ({', '.join(sorted(ids)[:limit])}{', …' if len(ids) > limit else ''})"
            for stage, ids in stages.items()
            if ids
        ]
        return "; ".join(parts)

    def latencies_ms(self) -> list[float]:
        """Placed → last invoice paid, in milliseconds, of every completed order, shortest first."""
        placed, paid = self._placed_at, self._paid_at
        return sorted(
            (paid[order_id] - placed[order_id]).total_seconds() * 1000
            for order_id in self.completed
            if order_id in paid and order_id in placed
        )


def _sum(amounts: Mapping[str, tuple[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for currency, amount in amounts.values():
        total[currency] += amount
    return total
