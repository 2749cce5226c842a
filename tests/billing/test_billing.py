"""What is invoiced and credited of one order: every command in every state."""

from datetime import date
from typing import Any

import pytest

from services.billing.domain import billing as billing_module
from services.billing.domain.billing import (
    CancelBilling,
    CreditReturn,
    CreditWaitingReturns,
    InvoiceShipment,
    OpenBilling,
    billing,
)
from services.billing.domain.billing_state import (
    BillingCancelled,
    BillingOpened,
    CreditDue,
    CreditNoteIssued,
    CreditRefused,
    Invoiced,
    InvoicingRefused,
    ReturnNoted,
    ShipmentNoted,
)
from services.billing.domain.documents import InvoiceLine, LineQuantity, TaxLine
from shared.errors import DomainError
from shared.eventsourced.facts import Command
from shared.eventsourced.testing import Scenario
from shared.values import evolved

MARCH_31, APRIL_2, APRIL_30 = date(2026, 3, 31), date(2026, 4, 2), date(2026, 4, 30)
LINES = (InvoiceLine(1, "A", 3, 3333, 1000, 9999), InvoiceLine(2, "B", 2, 500, 2000, 1000))
TAX = 1000 + 200
order = Scenario(billing)


def opening(invoice_on: str = "shipment", tax_minor: int = TAX) -> OpenBilling:
    return OpenBilling("O-1", "C-1", "GBP", LINES, tax_minor, 30, invoice_on, MARCH_31)


def opened(invoice_on: str = "shipment") -> BillingOpened:
    return BillingOpened("O-1", "C-1", "GBP", LINES, 30, invoice_on)


def quantities(*lines: tuple[int, int]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(line_no, "AB"[(line_no - 1) % 2], quantity) for line_no, quantity in lines)


def shipped(*lines: tuple[int, int], shipment_id: str = "S-1", on: date = MARCH_31) -> InvoiceShipment:
    return InvoiceShipment("O-1", shipment_id, quantities(*lines), on)


def returned(*lines: tuple[int, int], return_id: str = "RT-1", on: date = APRIL_2) -> CreditReturn:
    return CreditReturn("O-1", return_id, quantities(*lines), on)


def lines_of(*lines: tuple[int, int]) -> tuple[InvoiceLine, ...]:
    known = {line.line_no: line for line in LINES}
    return tuple(evolved(known[n], quantity=q, net_minor=q * known[n].unit_price_minor) for n, q in lines)


def invoice(count: int, *lines: tuple[int, int], taxes: tuple[TaxLine, ...], final: bool, **more: Any) -> Invoiced:
    net, tax = sum(line.net_minor for line in lines_of(*lines)), sum(line.tax_minor for line in taxes)
    given = {
        "invoice_id": f"O-1-I{count}",
        "number": "",
        "series": "INV-2026",
        "order_id": "O-1",
        "customer_id": "C-1",
        "currency": "GBP",
        "lines": lines_of(*lines),
        "taxes": taxes,
        "net_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
        "issued_on": MARCH_31,
        "due_on": APRIL_30,
        "final": final,
        "shipment_id": f"S-{count}",
    }
    return Invoiced(**{**given, **more})


def credit(count: int, of: Invoiced, *lines: tuple[int, int], taxes: tuple[TaxLine, ...], **more: Any) -> Any:
    net, tax = sum(line.net_minor for line in lines_of(*lines)), sum(line.tax_minor for line in taxes)
    given = {
        "credit_note_id": f"O-1-C{count}",
        "number": "",
        "series": "CRN-2026",
        "invoice_id": of.invoice_id,
        "invoice_number": of.number,
        "order_id": "O-1",
        "customer_id": "C-1",
        "currency": "GBP",
        "lines": lines_of(*lines),
        "taxes": taxes,
        "net_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
        "issued_on": APRIL_2,
        "reason": "returned",
        "return_id": "RT-1",
    }
    return CreditNoteIssued(**{**given, **more})


ALL_TAXES = (TaxLine(1000, 9999, 1000), TaxLine(2000, 1000, 200))
WHOLE = invoice(1, (1, 3), (2, 2), taxes=ALL_TAXES, final=True)
FIRST = invoice(1, (1, 1), (2, 2), taxes=(TaxLine(1000, 3333, 333), TaxLine(2000, 1000, 200)), final=False)
SECOND = invoice(2, (1, 2), taxes=(TaxLine(1000, 6666, 667),), final=True)


def numbered(fact: Any, number: str) -> Any:
    return evolved(fact, number=number)


class TestInvoicing:
    def test_a_shipment_is_invoiced_at_the_orders_prices(self) -> None:
        order.given(opened()).when(shipped((1, 3), (2, 2))).then(WHOLE)

    def test_two_shipments_make_two_invoices_that_sum_to_the_order(self) -> None:
        order.given(opened()).when(shipped((1, 1), (2, 2))).then(FIRST)
        order.given(opened(), FIRST).when(shipped((1, 2), shipment_id="S-2")).then(SECOND)
        assert FIRST.total_minor + SECOND.total_minor == 10_999 + TAX

    def test_on_confirmation_all_is_invoiced_at_once_and_shipments_add_nothing(self) -> None:
        confirmed = order.when(opening("confirmation"))
        confirmed.then(opened("confirmation"), evolved(WHOLE, shipment_id=""))
        confirmed.when(shipped((1, 3), (2, 2))).then_nothing()

    def test_on_shipment_nothing_is_invoiced_at_confirmation(self) -> None:
        order.when(opening()).then(opened())

    def test_shipments_heard_first_are_invoiced_with_the_confirmation(self) -> None:
        early = order.when(shipped((1, 1), (2, 2)))
        early.then(ShipmentNoted("S-1", quantities((1, 1), (2, 2)), MARCH_31))
        both = early.when(shipped((1, 2), shipment_id="S-2"))
        both.when(opening()).then(opened(), FIRST, SECOND)

    def test_shipments_heard_first_add_nothing_when_confirmation_invoices_all(self) -> None:
        order.given(ShipmentNoted("S-1", quantities((1, 1)), MARCH_31)).when(opening("confirmation")).then(
            opened("confirmation"), evolved(WHOLE, shipment_id="")
        )

    def test_a_shipment_said_again_changes_nothing(self) -> None:
        order.given(opened(), FIRST).when(shipped((1, 1), (2, 2))).then_nothing()
        order.given(ShipmentNoted("S-1", quantities((1, 1)), MARCH_31)).when(shipped((1, 1))).then_nothing()

    def test_more_than_was_ordered_is_refused_across_invoices(self) -> None:
        # Rule 5: by quantity, per line, over all invoices of the order.
        order.given(opened()).when(shipped((1, 4))).then_refuses(DomainError, "over_invoiced")
        order.given(opened(), FIRST).when(shipped((1, 3), shipment_id="S-2")).then_refuses(DomainError, "over_invoiced")
        order.given(opened(), FIRST).when(shipped((2, 1), shipment_id="S-2")).then_refuses(DomainError, "over_invoiced")
        order.given(opened()).when(shipped((3, 1))).then_refuses(DomainError, "over_invoiced")

    def test_an_early_shipment_of_too_much_stops_no_other(self) -> None:
        early = order.when(shipped((1, 4))).when(shipped((1, 1), (2, 2), shipment_id="S-2"))
        early.when(opening()).then(
            opened(), InvoicingRefused("S-1", "O-1", "over_invoiced"), evolved(FIRST, shipment_id="S-2")
        )

    def test_the_series_is_of_the_year_of_issue_and_the_due_day_of_the_terms(self) -> None:
        (fact,) = order.given(opened()).when(shipped((1, 1), on=date(2025, 12, 31))).facts()
        assert (fact.series, fact.issued_on, fact.due_on) == ("INV-2025", date(2025, 12, 31), date(2026, 1, 30))

    def test_a_tax_that_the_lines_do_not_make_is_refused(self) -> None:
        order.when(opening(tax_minor=TAX + 1)).then_refuses(DomainError, "tax_differs")

    def test_the_last_part_of_a_rate_takes_its_tax_even_if_another_rate_is_still_to_come(self) -> None:
        first = invoice(1, (1, 2), taxes=(TaxLine(1000, 6666, 667),), final=False)
        second = invoice(2, (1, 1), taxes=(TaxLine(1000, 3333, 333),), final=False)
        third = invoice(3, (2, 2), taxes=(TaxLine(2000, 1000, 200),), final=True)
        order.given(opened()).when(shipped((1, 2))).when(shipped((1, 1), shipment_id="S-2")).when(
            shipped((2, 2), shipment_id="S-3")
        ).then(third)
        assert billing.fold([opened(), first, second, third]).quantity_left == 0


class TestCrediting:
    first, second = numbered(FIRST, "INV-2026-000001"), numbered(SECOND, "INV-2026-000002")

    def test_a_return_is_credited_at_the_invoices_prices(self) -> None:
        order.given(opened(), self.first).when(returned((2, 1))).then(
            credit(1, self.first, (2, 1), taxes=(TaxLine(2000, 500, 100),))
        )

    def test_a_return_that_touches_two_invoices_makes_two_credit_notes_oldest_first(self) -> None:
        order.given(opened(), self.first, self.second).when(returned((2, 1), (1, 2))).then(
            credit(1, self.first, (2, 1), (1, 1), taxes=(TaxLine(1000, 3333, 333), TaxLine(2000, 500, 100))),
            credit(2, self.second, (1, 1), taxes=(TaxLine(1000, 3333, 333),)),
        )

    def test_the_oldest_invoice_is_first_whichever_line_came_back_first(self) -> None:
        one = invoice(1, (2, 2), taxes=(TaxLine(2000, 1000, 200),), final=False, number="INV-2026-000001")
        two = invoice(2, (1, 3), taxes=(TaxLine(1000, 9999, 1000),), final=True, number="INV-2026-000002")
        order.given(opened(), one, two).when(returned((1, 3), (2, 2))).then(
            credit(1, one, (2, 2), taxes=(TaxLine(2000, 1000, 200),)),
            credit(2, two, (1, 3), taxes=(TaxLine(1000, 9999, 1000),)),
        )

    def test_everything_of_an_invoice_in_parts_credits_exactly_its_tax(self) -> None:
        one = credit(1, self.second, (1, 1), taxes=(TaxLine(1000, 3333, 333),))
        two = credit(2, self.second, (1, 1), taxes=(TaxLine(1000, 3333, 334),), return_id="RT-2")
        gone = credit(1, self.first, (1, 1), taxes=(TaxLine(1000, 3333, 333),), return_id="RT-0")
        past = order.given(opened(), self.first, self.second, gone)
        past.when(returned((1, 1))).then(evolved(one, credit_note_id="O-1-C2"))
        past.given(one).when(returned((1, 1), return_id="RT-2")).then(evolved(two, credit_note_id="O-1-C3"))
        assert one.tax_minor + two.tax_minor == SECOND.tax_minor

    def test_more_than_was_ordered_and_not_yet_credited_is_refused(self) -> None:
        # Rule 16: per line ≤ invoiced − already credited.
        past = order.given(opened(), self.first, self.second)
        past.when(returned((1, 4))).then_refuses(DomainError, "over_credited")
        past.when(returned((3, 1))).then_refuses(DomainError, "over_credited")
        past.when(returned((2, 2))).when(returned((2, 1), return_id="RT-2")).then_refuses(DomainError, "over_credited")

    def test_a_return_said_again_changes_nothing(self) -> None:
        order.given(opened(), self.first).when(returned((2, 1))).when(returned((2, 1))).then_nothing()
        order.when(returned((2, 1))).when(returned((2, 1))).then_nothing()

    def test_a_return_before_its_invoice_waits_for_all_of_it(self) -> None:
        noted = ReturnNoted("RT-1", quantities((1, 2)), APRIL_2)
        order.when(returned((1, 2))).then(noted)
        order.given(opened()).when(returned((1, 2))).then(noted)
        part = order.given(opened(), self.first)
        part.when(returned((1, 2))).then(noted)
        part.given(noted).when(shipped((1, 2), shipment_id="S-2")).then(SECOND, CreditDue("O-1"))
        part.given(noted, self.second).when(CreditWaitingReturns("O-1")).then(
            credit(1, self.first, (1, 1), taxes=(TaxLine(1000, 3333, 333),)),
            credit(2, self.second, (1, 1), taxes=(TaxLine(1000, 3333, 333),)),
        )

    def test_a_return_that_still_waits_is_not_credited(self) -> None:
        order.given(opened(), self.first, ReturnNoted("RT-1", quantities((1, 2)), APRIL_2)).when(
            CreditWaitingReturns("O-1")
        ).then_nothing()

    def test_what_an_earlier_return_waits_for_is_not_given_to_a_later_one(self) -> None:
        waiting = order.given(opened(), self.first, ReturnNoted("RT-1", quantities((1, 2)), APRIL_2))
        waiting.when(returned((1, 1), return_id="RT-2")).then(ReturnNoted("RT-2", quantities((1, 1)), APRIL_2))
        waiting.when(returned((1, 2), return_id="RT-2")).then_refuses(DomainError, "over_credited")

    def test_an_early_return_of_too_much_is_refused_and_stops_no_other(self) -> None:
        early = order.given(
            ReturnNoted("RT-1", quantities((1, 4)), APRIL_2), ReturnNoted("RT-2", quantities((2, 1)), APRIL_2)
        )
        early.given(opened()).when(shipped((1, 1), (2, 2))).then(FIRST, CreditDue("O-1"))
        early.given(opened(), self.first).when(CreditWaitingReturns("O-1")).then(
            CreditRefused("RT-1", "O-1", "over_credited"),
            credit(1, self.first, (2, 1), taxes=(TaxLine(2000, 500, 100),), return_id="RT-2"),
        )

    def test_a_credit_note_is_not_dated_before_its_invoice(self) -> None:
        (fact,) = order.given(opened(), self.first).when(returned((2, 1), on=date(2025, 12, 31))).facts()
        assert (fact.issued_on, fact.series) == (MARCH_31, "CRN-2026")


class TestCancelling:
    cancel = CancelBilling("O-1", APRIL_2)
    whole = numbered(evolved(WHOLE, shipment_id=""), "INV-2026-000001")

    def test_an_order_without_invoices_ends(self) -> None:
        order.given(opened()).when(self.cancel).then(BillingCancelled("O-1"))

    def test_what_was_invoiced_at_confirmation_is_credited_in_full(self) -> None:
        # Rule 36: cancel after invoice → credit note.
        order.given(opened("confirmation"), self.whole).when(self.cancel).then(
            BillingCancelled("O-1"),
            credit(1, self.whole, (1, 3), (2, 2), taxes=ALL_TAXES, reason="order_cancelled", return_id=""),
        )

    def test_it_is_credited_once(self) -> None:
        past = order.given(opened("confirmation"), self.whole)
        past.when(self.cancel).when(self.cancel).then_nothing()
        past.when(self.cancel).when(returned((1, 1))).then_nothing()

    def test_before_the_confirmation_it_is_remembered(self) -> None:
        order.when(self.cancel).when(opening("confirmation")).then_nothing()

    def test_a_shipment_of_a_cancelled_order_is_refused(self) -> None:
        order.given(opened(), BillingCancelled("O-1")).when(shipped((1, 1))).then_refuses(
            DomainError, "order_cancelled"
        )


STATES = {
    "unknown": order,
    "noted": order.given(ShipmentNoted("S-9", quantities((1, 1)), MARCH_31)),
    "open": order.given(opened()),
    "invoiced": order.given(opened(), numbered(WHOLE, "INV-2026-000001")),
    "cancelled": order.given(opened(), BillingCancelled("O-1")),
}
ANSWERS = {
    opening(): {"unknown": "BillingOpened", "noted": "BillingOpened Invoiced"},
    shipped((1, 1), shipment_id="S-7"): {
        "unknown": "ShipmentNoted",
        "noted": "ShipmentNoted",
        "open": "Invoiced",
        "invoiced": "over_invoiced",
        "cancelled": "order_cancelled",
    },
    returned((1, 1)): {
        "unknown": "ReturnNoted",
        "noted": "ReturnNoted",
        "open": "ReturnNoted",
        "invoiced": "CreditNoteIssued",
    },
    CreditWaitingReturns("O-1"): {},
    CancelBilling("O-1", APRIL_2): {
        "unknown": "BillingCancelled",
        "noted": "BillingCancelled",
        "open": "BillingCancelled",
        "invoiced": "BillingCancelled CreditNoteIssued",
    },
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("command", ANSWERS, ids=lambda command: type(command).__name__)
def test_every_command_in_every_state(command: Any, name: str) -> None:
    try:
        answer = " ".join(type(fact).__name__ for fact in STATES[name].when(command).facts())
    except DomainError as error:
        answer = error.code
    assert answer == ANSWERS[command].get(name, "")


def test_the_table_has_every_command() -> None:
    kinds = [kind for kind in vars(billing_module).values() if isinstance(kind, type) and issubclass(kind, Command)]
    assert {type(command) for command in ANSWERS} == set(kinds) - {Command}
