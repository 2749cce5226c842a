"""A known month of business, as analytics hears of it: what the questions of docs/analysts.md are asked about.

Five orders of two customers. C-1 (DE, EUR): O-1 is paid in full, and half of it comes back in April; O-2 is paid short
and its rest written off; O-3 is paid, and that payment taken back as of 30 March, which was said on 2 April. C-2 (GB,
GBP): of O-4 three of five pieces are shipped and one of them credited, O-5 waits for credit, and 5.00 came that nobody
can place. The warehouse counts parcels per order: the first of each is S-1.
"""

from datetime import UTC, date, datetime
from typing import Any

from shared.contracts import billing, credit, fulfillment, orders, receivables
from shared.contracts.messages import contract_of
from shared.eventsourced.policy import Heard

Said = tuple[Any, Heard]
Step = tuple[str, Any]

TAX_BP = 2000
PRICES = {"SKU-1": 50_00, "SKU-2": 10_00}
SHIPMENT = "S-1"
CUSTOMERS = {"C-1": ("DE", "EUR"), "C-2": ("GB", "GBP")}


def day(text: str) -> date:
    """A day of 2026, such as 03-31."""
    return date.fromisoformat(f"2026-{text}")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def history() -> list[Said]:
    """Every message with its envelope, in the order of time."""
    steps = [*_masters(), *_paid(), *_short(), *_taken_back(), *_in_part(), *_waiting()]
    said = []
    for number, (when, message) in enumerate(sorted(steps, key=lambda step: step[0]), 1):
        contract = contract_of(type(message))
        subject = f"{contract.speaker}-{getattr(message, contract.subject)}"
        said.append((message, Heard(f"{subject}@{number}", contract.name, _at(when), subject=subject)))
    return said


def _masters() -> list[Step]:
    steps: list[Step] = [
        ("02-27 08:00", orders.CustomerRegistered(c, f"Name of {c}", country, currency))
        for c, (country, currency) in CUSTOMERS.items()
    ]
    listed = [orders.ProductListed(sku, f"Thing {sku}", price, "EUR", TAX_BP) for sku, price in PRICES.items()]
    return [*steps, *[("02-27 08:00", product) for product in listed]]


def _amounts(quantities: dict[str, int]) -> tuple[int, int, int]:
    net_minor = sum(quantity * PRICES[sku] for sku, quantity in quantities.items())
    tax_minor = net_minor * TAX_BP // 10_000
    return net_minor, tax_minor, net_minor + tax_minor


def _placed(o: str, c: str, on: str, **quantities: int) -> Step:
    ordered = {sku.replace("_", "-"): quantity for sku, quantity in quantities.items()}
    lines = tuple(orders.OrderLine(n, sku, q, PRICES[sku], TAX_BP) for n, (sku, q) in enumerate(ordered.items(), 1))
    return f"{on} 09:00", orders.OrderPlaced(o, c, CUSTOMERS[c][1], lines, *_amounts(ordered), _at(f"{on} 08:55"))


def _confirmed(o: str, c: str, on: str, placed: Step) -> list[Step]:
    m = placed[1]
    amounts = (m.net_minor, m.tax_minor, m.total_minor)
    return [
        placed,
        (f"{on} 09:01", credit.CreditApproved(o, c, m.total_minor, m.currency)),
        (f"{on} 09:02", orders.OrderConfirmed(o, c, m.currency, m.lines, *amounts, _at(f"{on} 09:02"))),
    ]


def _shipped(o: str, c: str, on: str, hours: int, final: bool, **quantities: int) -> list[Step]:
    """Shipped `hours` after it was placed and invoiced a minute later."""
    left = {sku.replace("_", "-"): quantity for sku, quantity in quantities.items()}
    when = f"{on} {9 + hours:02}"
    pieces = tuple(fulfillment.LineQuantity(n, sku, q) for n, (sku, q) in enumerate(left.items(), 1))
    net_minor, tax_minor, total_minor = amounts = _amounts(left)
    lines = tuple(
        billing.InvoiceLine(n, sku, q, PRICES[sku], TAX_BP, q * PRICES[sku])
        for n, (sku, q) in enumerate(left.items(), 1)
    )
    ids = (f"{o}-1", f"INV-{o}", "INV-2026", o, c, CUSTOMERS[c][1])
    days = (day(on), date.fromordinal(day(on).toordinal() + 30))
    taxes = (billing.TaxLine(TAX_BP, net_minor, tax_minor),)
    return [
        (f"{when}:00", fulfillment.StockReserved(o, c, pieces, final)),
        (f"{when}:00", fulfillment.Shipped(SHIPMENT, o, c, pieces, _at(f"{when}:00"), final)),
        (f"{when}:01", billing.Invoiced(*ids, lines, taxes, *amounts, *days, final, SHIPMENT)),
        (f"{when}:02", _entry(o, c, on, f"INV-{o}", ("1200", total_minor), ("4000", -net_minor), ("2200", -tax_minor))),
    ]


def _entry(o: str, c: str, on: str, document: str, *postings: tuple[str, int]) -> Any:
    sides = [(account, minor) for account, minor in postings if minor]
    lines = tuple(receivables.JournalLine(account, max(minor, 0), max(-minor, 0)) for account, minor in sides)
    return receivables.JournalPosted(f"J-{document}-{on}", c, day(on), CUSTOMERS[c][1], document, lines, o)


def _about(o: str, c: str) -> tuple[str, str, str, str]:
    return f"{o}-1", f"INV-{o}", o, c


def _money(o: str, c: str, on: str, minor: int, open_minor: int) -> list[Step]:
    """Money with this value day, heard of at noon and applied at once."""
    payment, currency = f"P-{o}", CUSTOMERS[c][1]
    when = f"{on} 12:00"
    sides = (("1000", minor), ("2100", -minor), ("2100", minor), ("1200", -minor))
    return [
        (when, receivables.PaymentReceived(payment, c, minor, currency, day(on), "transfer", f"INV-{o}")),
        (when, receivables.CashApplied(payment, *_about(o, c), minor, currency, open_minor, day(on))),
        (when, _entry(o, c, on, payment, *sides)),
    ]


def _closed(o: str, c: str, on: str, total_minor: int) -> Step:
    return f"{on} 12:01", receivables.InvoicePaid(*_about(o, c), total_minor, CUSTOMERS[c][1], day(on))


def _returned(o: str, c: str, on: str, sku: str, applied_minor: int) -> list[Step]:
    """A piece came back and is credited: `applied_minor` off its invoice, the rest for the customer to use."""
    net_minor, tax_minor, total_minor = amounts = _amounts({sku: 1})
    rest_minor, currency = total_minor - applied_minor, CUSTOMERS[c][1]
    one = (billing.InvoiceLine(1, sku, 1, PRICES[sku], TAX_BP, net_minor),)
    ids = (f"R-{o}", f"CRN-{o}", "CRN-2026", f"{o}-1", f"INV-{o}", o, c, currency)
    taxes = (billing.TaxLine(TAX_BP, net_minor, tax_minor),)
    about = (f"R-{o}", *_about(o, c))
    sides = (("4000", net_minor), ("2200", tax_minor), ("1200", -applied_minor), ("2100", -rest_minor))
    return [
        (f"{on} 12:00", billing.CreditNoteIssued(*ids, one, taxes, *amounts, day(on), "broken", f"R-{o}")),
        (f"{on} 12:01", receivables.CreditNoteBooked(*about, applied_minor, rest_minor, currency, day(on))),
        (f"{on} 12:01", _entry(o, c, on, f"CRN-{o}", *sides)),
    ]


def _paid() -> list[Step]:
    return [
        *_confirmed("O-1", "C-1", "03-02", _placed("O-1", "C-1", "03-02", SKU_1=2)),
        *_shipped("O-1", "C-1", "03-02", 1, True, SKU_1=2),
        *_money("O-1", "C-1", "03-10", 120_00, 0),
        _closed("O-1", "C-1", "03-10", 120_00),
        ("03-10 12:02", orders.OrderCompleted("O-1", "C-1", "EUR", 120_00)),
        *_returned("O-1", "C-1", "04-09", "SKU-1", 0),
    ]


def _short() -> list[Step]:
    sides = (("6100", 6_00), ("1200", -6_00))
    return [
        *_confirmed("O-2", "C-1", "03-02", _placed("O-2", "C-1", "03-02", SKU_1=1, SKU_2=3)),
        *_shipped("O-2", "C-1", "03-02", 3, True, SKU_1=1, SKU_2=3),
        *_money("O-2", "C-1", "03-20", 90_00, 6_00),
        ("03-25 12:00", receivables.WrittenOff(*_about("O-2", "C-1"), 6_00, "EUR", "small", day("03-25"))),
        ("03-25 12:00", _entry("O-2", "C-1", "03-25", "WO-O-2", *sides)),
        _closed("O-2", "C-1", "03-25", 96_00),
        ("03-25 12:02", orders.OrderCompleted("O-2", "C-1", "EUR", 96_00)),
    ]


def _taken_back() -> list[Step]:
    back = receivables.CashUnapplied("P-O-3", *_about("O-3", "C-1"), 60_00, "EUR", 60_00, day("03-30"))
    return [
        *_confirmed("O-3", "C-1", "03-03", _placed("O-3", "C-1", "03-03", SKU_1=1)),
        *_shipped("O-3", "C-1", "03-03", 2, True, SKU_1=1),
        *_money("O-3", "C-1", "03-16", 60_00, 0),
        _closed("O-3", "C-1", "03-16", 60_00),
        ("03-16 12:02", orders.OrderCompleted("O-3", "C-1", "EUR", 60_00)),
        ("04-02 10:00", back),
        ("04-02 10:00", _entry("O-3", "C-1", "03-30", "P-O-3", ("1200", 60_00), ("2100", -60_00))),
    ]


def _in_part() -> list[Step]:
    lost = receivables.PaymentReceived("P-LOST", "C-2", 5_00, "GBP", day("03-28"), "transfer", "thanks")
    return [
        *_confirmed("O-4", "C-2", "03-03", _placed("O-4", "C-2", "03-03", SKU_2=5)),
        *_shipped("O-4", "C-2", "03-03", 5, False, SKU_2=3),
        *_returned("O-4", "C-2", "03-12", "SKU-2", 12_00),
        ("03-28 12:00", lost),
        ("03-28 12:00", _entry("", "C-2", "03-28", "P-LOST", ("1000", 5_00), ("2100", -5_00))),
    ]


def _waiting() -> list[Step]:
    return [
        _placed("O-5", "C-2", "03-04", SKU_1=4),
        ("03-04 09:01", credit.CreditReferred("O-5", "C-2", 240_00, "GBP", "limit_exceeded", 20_00)),
        ("03-04 09:02", orders.OrderHeld("O-5", "C-2", "credit_referred")),
    ]
