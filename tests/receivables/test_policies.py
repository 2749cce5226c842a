"""What receivables does when it hears of invoices, credit notes and money; and what the world hears of it."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.receivables.app import service
from services.receivables.domain.account import account
from services.receivables.domain.account_facts import BookCreditNote, BookInvoice, JournalPosted, ReceivePayment
from services.receivables.domain.journal import JournalLine
from services.receivables.domain.payment import PaymentRegistered, RegisterPayment, payment
from services.receivables.policies import ReceivablesPolicy, hears, reactions
from services.receivables.publishing import SAYS
from shared.contracts import catalogue, inbound, receivables
from shared.contracts.billing import CreditNoteIssued, Invoiced, InvoiceLine, TaxLine
from shared.errors import ContractError
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.policy import Heard
from shared.settings import Settings
from tests.receivables.given import DUE, ISSUED, PAID, applied, book, credit_note, paid, pay, received

POLICY = ReceivablesPolicy(write_off_max_minor=50)
HEARD = Heard("billing-O-1@3", "o2c.billing.Invoiced.v1", datetime(2026, 3, 2, tzinfo=UTC), "O-1")

LINES = (InvoiceLine(1, "SKU-1", 2, 50_00, 2000, 100_00),)
TAXES = (TaxLine(2000, 100_00, 20_00),)
INVOICED = Invoiced(
    invoice_id="1",
    number="INV-2026-1",
    series="INV-2026",
    order_id="O-1",
    customer_id="C-1",
    currency="EUR",
    lines=LINES,
    taxes=TAXES,
    net_minor=100_00,
    tax_minor=20_00,
    total_minor=120_00,
    issued_on=ISSUED,
    due_on=DUE,
    final=True,
)
CREDITED = CreditNoteIssued(
    credit_note_id="CN-1",
    number="CRN-2026-1",
    series="CRN-2026",
    invoice_id="1",
    invoice_number="INV-2026-1",
    order_id="O-1",
    customer_id="C-1",
    currency="EUR",
    lines=LINES,
    taxes=TAXES,
    net_minor=25_00,
    tax_minor=5_00,
    total_minor=30_00,
    issued_on=date(2026, 3, 20),
    reason="returned",
)
PAYMENT = inbound.Payment("P-1", "C-1", 120_00, "EUR", PAID, "card", "INV-2026-1", "O-1")


def commands_of(message: Any) -> list[To[Any]]:
    return list(hears(POLICY)[type(message)](message, HEARD))


def test_an_invoice_is_booked_on_its_customers_account_under_house_rules() -> None:
    expected: To[BookInvoice] = To(account, "C-1", book(write_off_max_minor=50))
    assert commands_of(INVOICED) == [expected]


def test_a_credit_note_is_booked_on_its_customers_account() -> None:
    expected: To[BookCreditNote] = To(account, "C-1", credit_note(30_00))
    assert commands_of(CREDITED) == [expected]


def test_money_is_registered_under_its_own_id_first() -> None:
    registering = RegisterPayment("P-1", "C-1", 120_00, "EUR", PAID, "card", "INV-2026-1", "O-1")
    assert commands_of(PAYMENT) == [To(payment, "P-1", registering)]


def test_money_that_cannot_be_read_is_refused_with_every_reason() -> None:
    with pytest.raises(ContractError) as raised:
        commands_of(inbound.Payment("P-1", "", 0, "XXX", PAID))
    assert [p.field for p in raised.value.problems] == ["customer_id", "amount_minor", "currency"]


def test_a_registered_payment_is_received_on_the_account() -> None:
    registered = PaymentRegistered("P-1", "C-1", 120_00, "EUR", PAID, "card", "INV-2026-1", "O-1")
    [to] = reactions(POLICY)([Recorded("payment-P-1", 1, registered, Meta(0))])
    texts = {"method": "card", "reference": "INV-2026-1", "order_id": "O-1"}
    receiving: ReceivePayment = pay(write_off_max_minor=50, **texts)
    assert to == To(account, "C-1", receiving)


def test_facts_of_the_account_lead_to_no_further_commands() -> None:
    facts = [received(pay()), applied(120_00, 0), paid()]
    recorded = [Recorded("account-C-1", n, fact, Meta(0)) for n, fact in enumerate(facts, 1)]
    assert list(reactions(POLICY)(recorded)) == []


def test_everything_in_the_contract_of_receivables_is_said() -> None:
    ours = {c.message for c in catalogue.contracts().values() if c.speaker == "receivables"}
    assert {says.message for says in SAYS.values()} == ours


def test_a_published_fact_has_the_key_and_subject_of_its_contract() -> None:
    for fact, says in SAYS.items():
        assert {says.contract.key, says.contract.subject} <= set(fact.__struct_fields__)


def test_public_messages_carry_what_the_facts_say() -> None:
    assert SAYS[type(applied(1, 0))].of(applied(70_00, 50_00)) == receivables.CashApplied(
        "P-1", "1", "INV-2026-1", "O-1", "C-1", 70_00, "EUR", 50_00, PAID
    )
    posted = JournalPosted(
        "J-C-1-1", "C-1", PAID, "EUR", "P-1", (JournalLine("1000", 1, 0), JournalLine("2100", 0, 1)), ""
    )
    lines = (receivables.JournalLine("1000", 1, 0), receivables.JournalLine("2100", 0, 1))
    assert SAYS[JournalPosted].of(posted) == receivables.JournalPosted("J-C-1-1", "C-1", PAID, "EUR", "P-1", lines)


def test_an_unbalanced_entry_does_not_leave_us() -> None:
    lopsided = JournalPosted("J-C-1-1", "C-1", PAID, "EUR", "P-1", (JournalLine("1000", 1, 0),), "")
    with pytest.raises(AssertionError):
        SAYS[JournalPosted].of(lopsided)


def test_the_service_wires_its_settings() -> None:
    wired = service(Settings(receivables_write_off_max_minor=7))
    [to] = wired.hears[Invoiced](INVOICED, HEARD)
    assert to.command.write_off_max_minor == 7
    assert {decider.name for decider in wired.deciders} == {"payment", "account"}
    assert (wired.migrations / "1001_read_tables.sql").is_file()
