"""Policies, publishing and read tables of credit: every message has its command, every public fact its message."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from services.credit import app
from services.credit.domain import credit_commands as c
from services.credit.domain import credit_facts as f
from services.credit.domain.credit_account import _DECIDE, credit_account
from services.credit.policies import CreditPolicy, hears
from services.credit.projections import CREDIT_ACCOUNTS, CREDIT_REVIEWS, PROJECTIONS, account_row
from services.credit.publishing import SAYS
from shared.contracts import billing, catalogue, orders, receivables
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import FactProjection
from shared.settings import Settings
from tests.credit.samples import C, account, approved, declined, invoiced, referred

AT = datetime(2026, 3, 31, 12, tzinfo=UTC)
DAY = date(2026, 3, 31)
HEARD = Heard("order-O-1@1", "", AT)
HEARS = hears(CreditPolicy(100_000, 1_000))

MESSAGES: list[tuple[Any, Any]] = [
    (orders.CustomerRegistered(C, "Ada", "GB", "EUR"), c.OpenCreditAccount(C, 100_000, "EUR")),
    (
        orders.OrderPlaced("O-1", C, "EUR", (), 100, 20, 120, AT, 30, True),
        c.RequestCredit("O-1", C, 120, "EUR", True, 1_000),
    ),
    (orders.OrderCancelled("O-1", C, "x"), c.ReleaseCredit("O-1", C)),
    (orders.OrderRejected("O-1", C, ("x",)), c.ReleaseCredit("O-1", C)),
    (
        billing.Invoiced("I", "N", "S", "O-1", C, "EUR", (), (), 100, 20, 120, DAY, DAY, True),
        c.NoteInvoice("O-1", C, 120, "EUR", True),
    ),
    (
        billing.CreditNoteIssued("K", "N", "S", "I", "N", "O-1", C, "EUR", (), (), 100, 20, 120, DAY, "x"),
        c.NoteCreditNote(C, 120, "EUR"),
    ),
    (receivables.PaymentReceived("P", C, 70, "EUR", DAY, "transfer"), c.NotePayment(C, 70, "EUR")),
    (
        receivables.WriteOffReversed("I", "N", "O-1", C, 3, "EUR", 3, "cash_applied", "P", date(2026, 4, 1)),
        c.NoteWriteOff(C, -3, "EUR"),
    ),
    (receivables.WrittenOff("I", "N", "O-1", C, 3, "EUR", "small_difference"), c.NoteWriteOff(C, 3, "EUR")),
]


@pytest.mark.parametrize(("message", "command"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_becomes_its_command_on_the_customers_account(message: Any, command: Any) -> None:
    (to,) = HEARS[type(message)](message, HEARD)
    assert (to.decider, to.key, to.command) == (credit_account, C, command)


def test_every_message_that_is_heard_is_tested_here_and_said_by_somebody() -> None:
    assert {type(message) for message, _ in MESSAGES} == set(HEARS)
    speakers = {catalogue.contract_of(message).speaker for message in HEARS}
    assert speakers == {"order", "billing", "receivables"}


def test_facts_are_declared_and_everything_credit_may_say_is_said() -> None:
    assert set(get_args(f.CreditFact)) == set(credit_account.facts)
    assert set(get_args(c.CreditCommand)) == set(_DECIDE)
    said = {says.message for says in SAYS.values()}
    assert said == {k.message for k in catalogue.contracts().values() if k.speaker == "credit"}


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("fact", SAYS, ids=lambda fact: fact.__name__)
def test_a_public_fact_becomes_a_message_with_its_own_values(fact: type[Any]) -> None:
    says = SAYS[fact]
    sample = msgspec.json.decode((GOLDEN / f"credit.{fact.__name__}.v1.json").read_bytes())["d"]
    message = msgspec.json.decode(msgspec.json.encode(says.of(msgspec.convert(sample, fact))), type=says.message)
    assert msgspec.to_builtins(message) == {k: v for k, v in sample.items() if k in says.message.__struct_fields__}
    assert says.contract.key in fact.__struct_fields__


def test_the_row_of_an_account_shows_the_parts_of_its_exposure() -> None:
    state = account.given(
        approved("O-1", 60_000),
        invoiced("O-1", 20_000, final=False),
        f.PaymentNoted(5_000, "EUR"),
        f.CreditNoteNoted(700, "EUR"),
        f.WriteOffNoted(3, "EUR"),
        declined("O-2", 90_000, 1),
    ).state()
    row = account_row(C, state)
    assert row == (C, "EUR", 100_000, False, "", 54_297, 40_000, 20_000, 700, 5_000, 3, 1)
    assert row[5] == sum(row[6:8]) - sum(row[8:11])


def test_an_account_has_no_row_before_it_is_opened() -> None:
    assert account_row(C, credit_account.fold([f.PaymentNoted(5, "EUR")])) is None


def _review(fact: Any, at: int = 1_000_000) -> list[dict[str, Any]]:
    (reviews,) = (p for p in PROJECTIONS if isinstance(p, FactProjection))
    names = [column.name for column in (*CREDIT_REVIEWS.key, *CREDIT_REVIEWS.columns)]
    rows = reviews.rows[type(fact)](Recorded(f"credit-account-{C}", 2, fact, Meta(at)))
    return [{k: v for k, v in zip(names, row, strict=True) if v is not None} for row in rows]


FIRST_SECOND = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_declined_and_referred_orders_join_the_queue() -> None:
    common = {"order_id": "O-1", "customer_id": C, "amount_minor": 5, "currency": "EUR", "requested_at": FIRST_SECOND}
    assert _review(declined("O-1", 5, 4, "account_held")) == [
        {**common, "status": "declined", "reason": "account_held", "available_minor": 4}
    ]
    assert _review(referred("O-1", 5, 1)) == [
        {**common, "status": "referred", "reason": "limit_exceeded", "excess_minor": 1}
    ]


def test_orders_leave_the_queue_by_approval_by_a_person_or_by_their_end() -> None:
    left = {"order_id": "O-1", "decided_at": FIRST_SECOND}
    assert _review(approved("O-1", 5, waited=True, by="Ada", note="ok")) == [
        {**left, "status": "approved", "decided_by": "Ada", "note": "ok"}
    ]
    assert _review(f.CreditRequestWithdrawn("O-1")) == [{**left, "status": "withdrawn"}]
    (by_person,) = _review(f.CreditDeclined("O-1", C, 5, "EUR", "declined_by_person", 0, False, "Ada"))
    assert (by_person["status"], by_person["decided_by"]) == ("declined_by_person", "Ada")


def test_an_order_that_never_waited_writes_no_row() -> None:
    assert _review(approved("O-1", 5)) == []


def test_rows_fit_their_tables_and_the_migration_names_every_column() -> None:
    sql = (Path(app.__file__).parent / "migrations" / "1001_credit.sql").read_text()
    for table in (CREDIT_ACCOUNTS, CREDIT_REVIEWS):
        body = sql.partition(f"CREATE TABLE {table.name} (")[2].partition("\n)")[0]
        columns = [line.split()[:2] for line in body.strip().splitlines()]
        assert [[c.name, c.type] for c in (*table.key, *table.columns)] == [[n, t.rstrip(",")] for n, t in columns]
    row = account_row(C, account.state())
    assert row is not None
    assert len(row) == len(CREDIT_ACCOUNTS.key) + len(CREDIT_ACCOUNTS.columns)


def test_the_service_takes_its_house_rules_from_the_settings() -> None:
    settings = Settings(credit_limit_default_minor=7, credit_referral_tolerance_bp=5)
    wired = app.service(settings)
    (to,) = wired.hears[orders.CustomerRegistered](MESSAGES[0][0], HEARD)
    assert to.command == c.OpenCreditAccount(C, 7, "EUR")
    (to,) = wired.hears[orders.OrderPlaced](MESSAGES[1][0], HEARD)
    assert to.command.referral_tolerance_bp == 5
    assert wired.name == "credit"
