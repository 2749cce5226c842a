"""Policies, checks, publishing and read tables of the order service."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from services.order import app
from services.order.domain import customer as customers
from services.order.domain import order_facts as f
from services.order.domain import product as products
from services.order.domain.order import _DECIDE, _KNOWN, order
from services.order.domain.order_commands import (
    ConfirmOrder,
    FinishCancellation,
    HoldOrder,
    OrderCommand,
    RefuseCancellation,
)
from services.order.policies import HEARS
from services.order.projections import CUSTOMERS, ORDERS, PRODUCTS, customer_row, order_row, product_row, stage_of
from services.order.publishing import SAYS
from shared.contracts import billing, catalogue, credit, fulfillment, inbound, receivables
from shared.contracts.fulfillment import LineQuantity
from shared.errors import ContractError
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import StateProjection
from shared.eventsourced.rows import state_rows
from shared.settings import Settings
from shared.values import evolved
from tests.order.samples import AT, CREDITED, INVOICED, PAID, PLACE, REOPENED, SHIPPED, C, O, new, note, shipped

DAY = date(2026, 3, 31)
HEARD = Heard("x@1", "", AT)
LINE = inbound.RequestedLine("SKU-1", 2, 1_000, 2_000)
ORDER = inbound.Order(
    O, C, "EUR", (LINE, inbound.RequestedLine("SKU-2", 5, 100)), AT, prepaid=False, ship_complete=True
)
CUSTOMER = inbound.Customer(C, "Ada", "GB", "EUR")
MOVED = (LineQuantity(1, "SKU-1", 2), LineQuantity(2, "SKU-2", 5))

MESSAGES: list[tuple[Any, Any]] = [
    (ORDER, PLACE),
    (CUSTOMER, customers.PutCustomer(C, "Ada", "GB", "EUR", 30)),
    (credit.CreditApproved(O, C, 5, "EUR"), ConfirmOrder(AT)),
    (credit.CreditDeclined(O, C, 5, "EUR", "account_held", 0), HoldOrder("credit_declined")),
    (credit.CreditReferred(O, C, 5, "EUR", "limit_exceeded", 1), HoldOrder("credit_referred")),
    (fulfillment.StockReserved(O, C, (), True), note(f.AllocationNoted("reserved"))),
    (fulfillment.StockReserved(O, C, (), False), note(f.AllocationNoted("partial"))),
    (fulfillment.Backordered(O, C, ()), note(f.AllocationNoted("backordered"))),
    (fulfillment.Shipped("S-1", O, C, MOVED, AT, True), note(SHIPPED)),
    (fulfillment.ReservationReleased(O, C, "x"), FinishCancellation()),
    (fulfillment.CancellationRefused(O, C, "shipped"), RefuseCancellation("shipped")),
    (
        billing.Invoiced("I-1", "INV-2026-000001", "INV-2026", O, C, "EUR", (), (), 2_500, 400, 2_900, DAY, DAY, True),
        note(INVOICED),
    ),
    (receivables.InvoicePaid("I-1", "INV-2026-000001", O, C, 2_900, "EUR", DAY), note(PAID)),
    (
        receivables.CashUnapplied("P-1", "I-1", "INV-2026-000001", O, C, 700, "EUR", 1_200, DAY),
        note(REOPENED),
    ),
    (
        billing.CreditNoteIssued(
            "K-1", "CRN-2026-000001", "CRN-2026", "I-1", "N", O, C, "EUR", (), (), 750, 150, 900, DAY, "x"
        ),
        note(CREDITED),
    ),
]


@pytest.mark.parametrize(("message", "command"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_becomes_its_command(message: Any, command: Any) -> None:
    (to,) = HEARS[type(message)](message, HEARD)
    kind, key = (customers.customer, C) if isinstance(message, inbound.Customer) else (order, O)
    assert (to.decider, to.key, to.command) == (kind, key, command)


def test_every_message_that_is_heard_is_tested_here_and_said_by_somebody() -> None:
    assert {type(message) for message, _ in MESSAGES} == set(HEARS)
    speakers = {catalogue.contract_of(message).speaker for message in HEARS}
    assert speakers == {"inbound", "credit", "fulfillment", "billing", "receivables"}


# ---- what is refused, with every reason


def problems(message: Any) -> list[tuple[str, str]]:
    try:
        HEARS[type(message)](message, HEARD)
    except ContractError as error:
        return [(problem.field, problem.code) for problem in error.problems]
    return []


def test_an_invalid_order_is_refused_with_every_reason_at_once() -> None:
    bad = inbound.Order(
        "O 1",
        "",
        "XXX",
        (inbound.RequestedLine("", 0, -1, 10_001), LINE, inbound.RequestedLine("S/1", 1_000_001, 10**15 + 1, -1)),
        datetime(2026, 3, 31),  # noqa: DTZ001
        payment_terms_days=366,
        invoice_on="whenever",
    )
    assert problems(bad) == [
        ("order_id", "id"),
        ("customer_id", "id"),
        ("currency", "currency"),
        ("placed_at", "no_zone"),
        ("payment_terms_days", "out_of_range"),
        ("invoice_on", "unknown"),
        ("lines[0].sku", "id"),
        ("lines[0].quantity", "out_of_range"),
        ("lines[0].unit_price_minor", "out_of_range"),
        ("lines[0].tax_rate_bp", "out_of_range"),
        ("lines[2].sku", "id"),
        ("lines[2].quantity", "out_of_range"),
        ("lines[2].unit_price_minor", "out_of_range"),
        ("lines[2].tax_rate_bp", "out_of_range"),
    ]


@pytest.mark.parametrize(
    "order_id", ["", ".", "..", "a" * 65, "a/b", "a b", "a\x00", "a\n", "ä", "a%2Fb", "\ud800", "O-1\u0660"]
)
def test_what_cannot_be_an_id(order_id: str) -> None:
    assert problems(evolved(ORDER, order_id=order_id)) == [("order_id", "id")]


@pytest.mark.parametrize("order_id", ["a", "a" * 64, "A-1_b.2", "...", ".a", "-"])
def test_what_can_be_an_id(order_id: str) -> None:
    assert problems(evolved(ORDER, order_id=order_id)) == []


LEAST, MOST = inbound.RequestedLine("S", 1, 0, 0), inbound.RequestedLine("S", 1_000_000, 0, 10_000)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"lines": ()}, [("lines", "count")]),
        ({"lines": (LINE,) * 501}, [("lines", "count")]),
        ({"lines": (LINE,) * 500}, []),
        ({"lines": (LEAST, MOST)}, []),
        ({"lines": (inbound.RequestedLine("S", 1, 10**15),)}, []),
        ({"lines": (inbound.RequestedLine("S", 1, 10**15), inbound.RequestedLine("S", 1, 1))}, [("lines", "total")]),
        ({"lines": (inbound.RequestedLine("S", 1_000_000, 10**9, 1),)}, [("lines", "total")]),
        ({"payment_terms_days": 0}, []),
        ({"payment_terms_days": 365}, []),
        ({"payment_terms_days": -1}, [("payment_terms_days", "out_of_range")]),
        ({"invoice_on": "confirmation"}, []),
        ({"currency": "eur"}, [("currency", "currency")]),
        ({"placed_at": datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-14)))}, [("placed_at", "out_of_range")]),
        ({"placed_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, [("placed_at", "out_of_range")]),
        ({"placed_at": datetime(2999, 12, 31, tzinfo=UTC)}, []),
    ],
)
def test_the_bounds_of_an_order(change: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert problems(evolved(ORDER, **change)) == found


def test_an_invalid_customer_is_refused_with_every_reason_at_once() -> None:
    bad = inbound.Customer("C/1", "A\x00da", "gb", "XYZ", 366)
    assert problems(bad) == [
        ("customer_id", "id"),
        ("name", "control_character"),
        ("currency", "currency"),
        ("payment_terms_days", "out_of_range"),
        ("country", "country"),
    ]
    assert problems(evolved(CUSTOMER, name="")) == [("name", "length")]
    assert problems(evolved(CUSTOMER, name="x" * 201)) == [("name", "length")]
    assert problems(evolved(CUSTOMER, name="Žofie Ünal-Ó'Neil 株式会社")) == []


# ---- what is said


def test_facts_are_declared_and_everything_orders_may_say_is_said() -> None:
    noted = set(get_args(f.Noted))
    assert noted | (set(get_args(f.OrderFact)) - {f.Noted}) == set(order.facts)
    assert set(get_args(OrderCommand)) == set(_DECIDE)
    assert noted == set(_KNOWN)
    assert set(get_args(customers.CustomerFact)) == set(customers.customer.facts)
    assert set(get_args(products.ProductFact)) == set(products.product.facts)
    said = {says.message for says in SAYS.values()}
    assert said == {k.message for k in catalogue.contracts().values() if k.speaker == "order"}


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("fact", SAYS, ids=lambda fact: fact.__name__)
def test_a_public_fact_becomes_a_message_with_its_own_values(fact: type[Any]) -> None:
    says = SAYS[fact]
    sample = msgspec.json.decode((GOLDEN / f"order.{fact.__name__}.v1.json").read_bytes())["d"]
    body = msgspec.json.encode(says.of(msgspec.convert(sample, fact)))
    message = msgspec.json.decode(body, type=says.message)
    shown = {k: v for k, v in sample.items() if k in says.message.__struct_fields__}
    assert msgspec.json.decode(msgspec.json.encode(message)) == shown
    assert says.contract.key in fact.__struct_fields__


# ---- read tables


def _row(table: Any, row: tuple[Any, ...] | None) -> dict[str, Any]:
    assert row is not None
    return dict(zip([c.name for c in (*table.key, *table.columns)], row, strict=True))


def test_the_row_of_an_order_shows_its_progress() -> None:
    state = shipped.given(INVOICED, CREDITED, f.AllocationNoted("reserved")).state()
    (listed,) = state_rows(StateProjection(ORDERS, order, order_row, stage_of), [(order.stream(O), state, 0)])
    assert _row(ORDERS, listed) == {
        "order_id": O,
        "customer_id": C,
        "status": "confirmed",
        "reason": "",
        "currency": "EUR",
        "total_minor": 2_900,
        "line_count": 2,
        "prepaid": False,
        "placed_at": AT,
        "confirmed_at": AT,
        "allocation": "reserved",
        "shipments": 1,
        "shipped_fully": True,
        "invoices_open": 1,
        "invoiced_fully": True,
        "invoiced_minor": 2_900,
        "paid_minor": 0,
        "credited_minor": 900,
        "stage": "payment",
        "stage_at": datetime(1970, 1, 1, tzinfo=UTC),
    }


def test_rows_of_customers_and_products_show_what_is_true_now() -> None:
    state = products.product.fold(
        [products.ProductListed("S", "Engine", 5, "EUR", 2_000), products.PriceChanged("S", 7, "GBP")]
    )
    assert product_row("S", state) == ("S", "Engine", 7, "GBP", 2_000)
    data = customers.CustomerRegistered(C, "Ada", "GB", "EUR", 30)
    assert customer_row(C, customers.customer.fold([data])) == (C, "Ada", "GB", "EUR", 30)


def test_what_was_never_recorded_has_no_row() -> None:
    assert order_row(O, new.state()) is None
    assert customer_row(C, customers.customer.initial) is None
    assert product_row("S", products.product.initial) is None


@pytest.mark.parametrize("table", [ORDERS, CUSTOMERS, PRODUCTS], ids=lambda table: table.name)
def test_the_migration_names_every_column_of_a_table(table: Any) -> None:
    folder = Path(app.__file__).parent / "migrations"
    body = (folder / "1001_orders.sql").read_text().partition(f"CREATE TABLE {table.name} (")[2].partition("\n)")[0]
    columns = [line.rstrip(",").split()[:2] for line in body.strip().splitlines()]
    if table is ORDERS:
        columns += re.findall(r"ADD COLUMN (\w+) +(\w+)", (folder / "1003_stages.sql").read_text())
    assert [(c.name, c.type) for c in (*table.key, *table.columns)] == [tuple(column) for column in columns]


def test_the_service_is_wired() -> None:
    wired = app.service(Settings())
    declared = {fact for decider in wired.deciders for fact in decider.facts}
    assert set(wired.says) <= declared
    assert wired.hears is HEARS
    assert (wired.migrations / "1001_orders.sql").is_file()
