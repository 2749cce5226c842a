"""Billing as a whole: messages in any order lead to documents that sum to the order, numbered without gaps."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.app import service
from services.billing.domain.billing_state import CreditNoteIssued, Invoiced
from services.billing.policies import local_day
from services.billing.projections import CREDIT_NOTES, INVOICES, PROJECTIONS
from shared.contracts.fulfillment import LineQuantity, ReturnReceived, Shipped
from shared.contracts.orders import OrderCancelled, OrderConfirmed, OrderLine
from shared.errors import DomainError
from shared.eventsourced.projecting import FactProjection
from shared.eventsourced.unit_of_work import fact_rows
from shared.money import tax_half_up, tax_per_document
from shared.settings import Settings
from tests.in_memory import InMemory
from tests.support.examples import examples

AT = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)


def office(time_zone: str = "Europe/London") -> InMemory:
    return InMemory(service(Settings(billing_time_zone=time_zone)))


def confirmed(*lines: tuple[int, int, int], order_id: str = "O-1", invoice_on: str = "shipment") -> OrderConfirmed:
    """Lines are (quantity, unit price, rate)."""
    nets = [(rate, quantity * price) for quantity, price, rate in lines]
    net, tax = sum(net for _, net in nets), sum(tax for _, tax in tax_per_document(nets).values())
    return OrderConfirmed(
        order_id=order_id,
        customer_id="C-1",
        currency="EUR",
        lines=tuple(OrderLine(i, f"SKU-{i}", *line) for i, line in enumerate(lines, 1)),
        net_minor=net,
        tax_minor=tax,
        total_minor=net + tax,
        confirmed_at=AT,
        invoice_on=invoice_on,
    )


def quantities(lines: Any) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(n, f"SKU-{n}", quantity) for n, quantity in lines)


def shipped(*lines: tuple[int, int], shipment_id: str = "S-1", order_id: str = "O-1", at: datetime = AT) -> Shipped:
    return Shipped(shipment_id, order_id, "C-1", quantities(lines), at, final=False)


def returned(*lines: tuple[int, int], return_id: str = "RT-1", order_id: str = "O-1") -> ReturnReceived:
    return ReturnReceived(return_id, order_id, "C-1", quantities(lines), AT, restocked=True)


def test_three_parts_of_a_hundred_make_exactly_a_hundred() -> None:
    # Rule 3, with a tax of 19 %: 33.33 + 33.33 + 33.34 are not recomputed from percentages.
    office_ = office()
    order = confirmed((3, 3333, 1900), (1, 1, 1900))
    office_.hear(order)
    parts = [[(1, 1)], [(1, 1)], [(1, 1), (2, 1)]]
    invoices = [office_.hear(shipped(*part, shipment_id=f"S-{i}"))[0] for i, part in enumerate(parts)]
    assert order.net_minor == 10_000
    assert sum(invoice.total_minor for invoice in invoices) == 11_900
    assert [invoice.final for invoice in invoices] == [False, False, True]


def test_numbers_follow_each_other_per_series_and_year() -> None:
    office_ = office()
    days = [datetime(2025, 12, 31, tzinfo=UTC), AT, AT]
    for i, at in enumerate(days):
        office_.hear(confirmed((1, 100, 2000), order_id=f"O-{i}"))
        office_.hear(shipped((1, 1), order_id=f"O-{i}", at=at))
    office_.hear(returned((1, 1), order_id="O-2"))
    numbers = [r.fact.number for r in office_.recorded if isinstance(r.fact, Invoiced | CreditNoteIssued)]
    assert numbers == ["INV-2025-000001", "INV-2026-000001", "INV-2026-000002", "CRN-2026-000001"]
    assert office_.numbers == {"INV-2025": 1, "INV-2026": 2, "CRN-2026": 1}


def test_a_refused_shipment_burns_no_number() -> None:
    # Rule 15.
    office_ = office()
    office_.hear(confirmed((1, 100, 2000)))
    with pytest.raises(DomainError):
        office_.hear(shipped((1, 2)))
    assert office_.hear(shipped((1, 1), shipment_id="S-2"))[0].number == "INV-2026-000001"


def test_a_return_heard_before_everything_is_credited_with_its_invoices_number() -> None:
    office_ = office()
    office_.hear(returned((1, 1)))
    office_.hear(shipped((1, 2)))
    facts = office_.hear(confirmed((2, 999, 2000)))
    assert [type(fact).__name__ for fact in facts] == ["BillingOpened", "Invoiced", "CreditDue", "CreditNoteIssued"]
    assert facts[-1].invoice_number == "INV-2026-000001"
    assert facts[-1].number == "CRN-2026-000001"


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("Europe/London", datetime(2026, 3, 31, 22, 59, tzinfo=UTC), date(2026, 3, 31)),
        ("Europe/London", datetime(2026, 3, 31, 23, 30, tzinfo=UTC), date(2026, 4, 1)),  # summer time
        ("Europe/London", datetime(2026, 12, 31, 23, 30, tzinfo=UTC), date(2026, 12, 31)),
        ("Asia/Tokyo", datetime(2026, 12, 31, 15, 0, tzinfo=UTC), date(2027, 1, 1)),
        ("America/New_York", datetime(2027, 1, 1, 4, 59, tzinfo=UTC), date(2026, 12, 31)),
    ],
)
def test_documents_are_dated_in_the_issuers_zone(zone: str, instant: datetime, day: date) -> None:
    # Rules 15 and 30: the year of the number and the day of the document are the issuer's.
    assert local_day(instant, zone) == day
    office_ = office(zone)
    office_.hear(confirmed((1, 100, 2000)))
    (invoice,) = office_.hear(shipped((1, 1), at=instant))
    assert (invoice.issued_on, invoice.series) == (day, f"INV-{day.year}")


def test_a_line_said_in_two_parts_is_one_line() -> None:
    office_ = office()
    office_.hear(confirmed((3, 100, 2000)))
    with pytest.raises(DomainError):
        office_.hear(shipped((1, 2), (1, 2)))
    (invoice,) = office_.hear(shipped((1, 1), (1, 2), shipment_id="S-2"))
    assert [line.quantity for line in invoice.lines] == [3]


def test_a_cancelled_order_that_was_invoiced_at_confirmation_owes_nothing() -> None:
    office_ = office()
    (_, invoice) = office_.hear(confirmed((3, 3333, 1900), invoice_on="confirmation"))
    (_, note) = office_.hear(OrderCancelled("O-1", "C-1", "changed mind"))
    assert (note.invoice_number, note.total_minor) == (invoice.number, invoice.total_minor)
    assert note.issued_on == date(2026, 3, 31)


# ---- Whatever the order, its parts and the order in which they are heard

LINES = st.lists(
    st.tuples(st.integers(1, 7), st.integers(0, 10_000), st.sampled_from([0, 500, 700, 1900, 2000])),
    min_size=1,
    max_size=5,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, list[Any], list[Any], int]:
    """An order, shipments that ship all of it, returns of some of it, and when the confirmation is heard."""
    lines = draw(LINES)
    units = draw(st.permutations([i for i, (quantity, _, _) in enumerate(lines, 1) for _ in range(quantity)]))
    shipments = _parts(units, draw(st.lists(st.integers(1, len(units)), max_size=4)))
    back = draw(st.permutations(units))[: draw(st.integers(0, len(units)))]
    returns = _parts(back, draw(st.lists(st.integers(1, len(units)), max_size=3)))
    return lines, shipments, returns, draw(st.integers(0, len(shipments) + len(returns)))


def _parts(units: list[int], cuts: list[int]) -> list[list[tuple[int, int]]]:
    """Units (by line number) cut into non-empty parts of (line_no, quantity)."""
    edges = sorted({0, len(units), *[cut for cut in cuts if cut < len(units)]})
    parts = [units[a:b] for a, b in pairwise(edges)]
    return [[(n, part.count(n)) for n in sorted(set(part))] for part in parts]


@given(cases(), st.randoms(use_true_random=False))
def test_invoices_sum_to_the_order_and_credits_to_what_came_back(case: Any, random: Any) -> None:
    lines, shipments, returns, confirmed_after = case
    order = confirmed(*lines)
    messages: list[Any] = [shipped(*part, shipment_id=f"S-{i}") for i, part in enumerate(shipments)]
    messages += [returned(*part, return_id=f"RT-{i}") for i, part in enumerate(returns)]
    random.shuffle(messages)
    messages.insert(confirmed_after, order)
    office_ = office()
    for message in messages:
        office_.hear(message)
    facts = [recorded.fact for recorded in office_.recorded]
    invoices = [fact for fact in facts if isinstance(fact, Invoiced)]
    notes = [fact for fact in facts if isinstance(fact, CreditNoteIssued)]
    _check_invoices(order, invoices, len(shipments))
    _check_notes(invoices, notes, [pair for part in returns for pair in part])


def _check_invoices(order: OrderConfirmed, invoices: list[Invoiced], shipments: int) -> None:
    assert len(invoices) == shipments
    assert sum(invoice.total_minor for invoice in invoices) == order.total_minor
    assert [invoice.final for invoice in invoices] == [False] * (shipments - 1) + [True]
    assert [invoice.number for invoice in invoices] == [f"INV-2026-{i:06d}" for i in range(1, shipments + 1)]
    taxes = tax_per_document([(line.tax_rate_bp, line.quantity * line.unit_price_minor) for line in order.lines])
    assert _summed(invoices) == taxes
    for invoice in invoices:
        _check_document(invoice)


def _check_notes(invoices: list[Invoiced], notes: list[CreditNoteIssued], returned: list[tuple[int, int]]) -> None:
    assert sum(line.quantity for note in notes for line in note.lines) == sum(quantity for _, quantity in returned)
    for note in notes:
        _check_document(note)
    for invoice in invoices:
        own = [note for note in notes if note.invoice_id == invoice.invoice_id]
        assert all(note.invoice_number == invoice.number for note in own)
        for line in invoice.lines:
            credited = sum(c.quantity for note in own for c in note.lines if c.line_no == line.line_no)
            assert credited <= line.quantity
        invoiced_taxes = {tax.tax_rate_bp: (tax.base_minor, tax.tax_minor) for tax in invoice.taxes}
        for rate, (base, tax) in _summed(own).items():
            whole_base, whole_tax = invoiced_taxes[rate]
            assert tax <= whole_tax
            assert base < whole_base or tax == whole_tax


def _summed(documents: list[Any]) -> dict[int, tuple[int, int]]:
    sums: dict[int, tuple[int, int]] = {}
    for tax in [tax for document in documents for tax in document.taxes]:
        base, amount = sums.get(tax.tax_rate_bp, (0, 0))
        sums[tax.tax_rate_bp] = (base + tax.base_minor, amount + tax.tax_minor)
    return sums


def _check_document(document: Invoiced | CreditNoteIssued) -> None:
    assert document.lines
    assert document.net_minor == sum(line.net_minor for line in document.lines)
    assert document.net_minor == sum(tax.base_minor for tax in document.taxes)
    assert document.tax_minor == sum(tax.tax_minor for tax in document.taxes)
    assert document.total_minor == document.net_minor + document.tax_minor
    for line in document.lines:
        assert line.net_minor == line.quantity * line.unit_price_minor
    for tax in document.taxes:
        assert tax.tax_minor >= 0


@examples(50)
@given(st.integers(1, 12), st.integers(1, 9_999), st.sampled_from([500, 700, 1900, 2000]))
def test_a_part_that_is_not_the_last_has_its_own_tax_rounded_half_up_or_what_is_left(
    quantity: int, price: int, rate: int
) -> None:
    office_ = office()
    order = confirmed((quantity, price, rate))
    office_.hear(order)
    left = order.tax_minor
    for i in range(quantity - 1):
        (invoice,) = office_.hear(shipped((1, 1), shipment_id=f"S-{i}"))
        assert invoice.tax_minor == min(tax_half_up(price, rate), left)
        left -= invoice.tax_minor
    assert office_.hear(shipped((1, 1), shipment_id="last"))[0].tax_minor == left


def test_the_read_tables_have_every_document_once() -> None:
    office_ = office()
    office_.hear(confirmed((2, 100, 2000)))
    (invoice,) = office_.hear(shipped((1, 2)))
    (note,) = office_.hear(returned((1, 1)))
    projections = [projection for projection in PROJECTIONS if isinstance(projection, FactProjection)]
    rows = fact_rows(projections, office_.recorded)
    ((invoice_id, number, *rest),) = rows[INVOICES]
    assert (invoice_id, number, len(rest)) == (invoice.invoice_id, "INV-2026-000001", len(INVOICES.columns) - 1)
    ((note_id, number, _, of, of_number, *_),) = rows[CREDIT_NOTES]
    assert (note_id, number, of, of_number) == (note.credit_note_id, "CRN-2026-000001", invoice_id, "INV-2026-000001")
