"""Every check of `o2c verify` on real stores: silent where nothing is wrong, and naming the id when one thing is."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from o2c.stack import SERVICES
from o2c.verify import OPEN_LETTERS, trial_balance, verify_all
from o2c.verify.running import CHECKS
from o2c.verify.stores import open_stores
from shared.eventsourced.migrating import migrate
from tests.support.databases import create_database, drop_database

pytestmark = pytest.mark.connected

Addresses = Callable[[str], str]
Row = tuple[str, str]
"""(service, SQL) that makes something true or wrong."""

CHECK = {check.__name__: check for check in CHECKS}


def fact(name: str, stream: str = "", version: int = 1, at: int = 0, **content: Any) -> Row:
    """A fact as the engine would have recorded it, on a stream of its own."""
    state = json.dumps({"v": 1, "d": content, "m": {"at": at}}).replace("'", "''")
    stream = stream or f"{name}-{abs(hash(state))}"
    return (
        name.partition(".")[0],
        "INSERT INTO events (originator_id, originator_version, topic, state) "
        f"VALUES ('{stream}', {version}, '{name}', convert_to('{state}', 'UTF8'))",
    )


def entry(entry_id: str, *lines: tuple[str, int]) -> Row:
    """A journal entry of customer C-1 on 1 March 2026: (account, amount), debits positive."""
    sides = [{"account": a, "debit_minor": max(m, 0), "credit_minor": max(-m, 0)} for a, m in lines]
    head = {"entry_id": entry_id, "customer_id": "C-1", "posted_on": "2026-03-01", "currency": "GBP"}
    return fact("receivables.JournalPosted", **head, lines=sides)


def line(quantity: int, *, line_no: int = 1, price: int = 100, sku: str = "A") -> dict[str, Any]:
    net = quantity * price
    return {"line_no": line_no, "sku": sku, "quantity": quantity, "unit_price_minor": price, "net_minor": net}


def placed(quantity: int = 5, total: int = 500, *, invoice_on: str = "shipment") -> Row:
    return fact("order.OrderPlaced", order_id="O-1", lines=[line(quantity)], total_minor=total, invoice_on=invoice_on)


def invoiced(quantity: int = 5, *, total: int | None = None, number: int = 1, final: bool = True) -> Row:
    net = quantity * 100
    return fact(
        "billing.Invoiced",
        invoice_id=f"O-1-I{number}",
        number=f"INV-2026-{number:06d}",
        series="INV-2026",
        order_id="O-1",
        customer_id="C-1",
        currency="GBP",
        lines=[line(quantity)],
        taxes=[{"tax_rate_bp": 0, "base_minor": net, "tax_minor": 0}],
        net_minor=net,
        tax_minor=0,
        total_minor=net if total is None else total,
        final=final,
    )


def booked(total: int = 500) -> Row:
    return fact("receivables.InvoiceBooked", invoice_id="O-1-I1", customer_id="C-1", currency="GBP", total_minor=total)


def applied(amount: int) -> Row:
    ids = {"invoice_id": "O-1-I1", "source_id": "P-1", "customer_id": "C-1", "currency": "GBP"}
    return fact("receivables.CashApplied", **ids, amount_minor=amount)


def off(name: str, amount: int) -> Row:
    ids = {"invoice_id": "O-1-I1", "customer_id": "C-1", "currency": "GBP"}
    return fact(f"receivables.{name}", **ids, amount_minor=amount)


def received(amount: int) -> Row:
    return fact("receivables.PaymentReceived", payment_id="P-1", customer_id="C-1", currency="GBP", amount_minor=amount)


def shipped(quantity: int = 5) -> Row:
    return fact("fulfillment.Shipped", order_id="O-1", lines=[line(quantity)], final=True)


def stock(name: str, quantity: int, **more: Any) -> Row:
    return fact(f"fulfillment.{name}", sku="A", order_id="O-1", quantity=quantity, **more)


COMPLETED = fact("order.OrderCompleted", order_id="O-1", total_minor=500)
LEVELS = "INSERT INTO stock_levels (sku, on_hand, reserved, backordered) VALUES ('A', {}, {}, 0)"
WAITING = "INSERT INTO stock_levels (sku, on_hand, reserved, backordered) VALUES ('A', 5, {}, 1), ('B', 5, 1, 0)"
LETTER = (
    "INSERT INTO dead_letters (digest, status, message_id, type, stream, topic, partition, record_offset, headers, "
    "body, code, reason) VALUES ('\\x01', '{}', 'm', 't', '', 'o2c.order.events', 0, 0, '[]', '', 'invalid', 'x')"
)
ACCOUNT = (
    "INSERT INTO credit_accounts (customer_id, currency, limit_minor, held, hold_reason, exposure_minor, "
    "reserved_minor, invoiced_minor, credited_minor, received_minor, written_off_minor, waiting) "
    "VALUES ('C-1', 'GBP', 1000, false, '', {}, 0, 0, 0, 0, 0, 0)"
)
APPROVED = fact("credit.CreditApproved", order_id="O-1", customer_id="C-1", amount_minor=500, currency="GBP")
CREDITED = fact(
    "billing.CreditNoteIssued",
    credit_note_id="O-1-C1",
    number="CRN-2026-000001",
    series="CRN-2026",
    invoice_id="O-1-I1",
    lines=[line(6)],
    taxes=[],
    total_minor=600,
)
ITEM = "INSERT INTO open_items (invoice_id, order_id, open_minor) VALUES ('O-1-I1', 'O-1', {})"
LOSS = [off("WrittenOff", 500), off("WriteOffReversed", 200)]
LOSS_BACK = entry("J-2", ("1200", 200), ("6100", -200))
SERIES = ("billing", "INSERT INTO number_series (series, last) VALUES ('INV-2026', {})")
BOOKS = [booked(), entry("J-1", ("1200", 500), ("4000", -500))]
BOOKED_MOVEMENT = (
    "receivables",
    "INSERT INTO item_movements (invoice_id, movement_id, customer_id, currency, amount_minor, effective_on) "
    "VALUES ('O-1-I1', 'm', 'C-1', 'GBP', 500, '2026-03-01')",
)


def series(last: int) -> Row:
    return (SERIES[0], SERIES[1].format(last))


RIGHT: dict[str, list[Row]] = {
    "streams_have_no_gaps": [fact("order.X", "s", 1), fact("order.X", "s", 2)],
    "nothing_is_stuck": [("order", LETTER.format("done"))],
    "orders_complete_when_paid": [placed(), shipped(), invoiced(), COMPLETED, ("receivables", ITEM.format(0))],
    "exposure_is_what_was_recorded": [APPROVED, invoiced(3, final=False), *LOSS, ("credit", ACCOUNT.format(200))],
    "stock_is_what_was_recorded": [
        stock("StockReceived", 9),
        stock("StockAllocated", 3),
        stock("BackordersFilled", 0, fills=[{"quantity": 2}]),
        stock("StockIssued", 4),
        ("fulfillment", LEVELS.format(5, 1)),
    ],
    "reserved_is_at_most_on_hand": [stock("StockReceived", 5), stock("StockAllocated", 5)],
    "no_backorder_waits_beside_stock": [("fulfillment", WAITING.format(5))],
    "shipped_is_at_most_ordered": [placed(), shipped()],
    "issued_is_shipped": [stock("StockIssued", 5), shipped()],
    "numbers_are_gapless": [invoiced(2), invoiced(3, number=2), series(2)],
    "documents_add_up": [invoiced()],
    "invoiced_is_at_most_ordered": [placed(), invoiced(3), invoiced(2, number=2)],
    "shipped_is_invoiced": [placed(), shipped(), invoiced()],
    "invoices_sum_to_their_orders": [placed(), invoiced(3), invoiced(2, number=2)],
    "journal_entries_balance": [entry("J-1", ("1200", 500), ("4000", -500))],
    "subledger_is_the_control_account": [*BOOKS, BOOKED_MOVEMENT],
    "open_items_are_what_was_recorded": [booked(), applied(200), ("receivables", ITEM.format(300))],
    "write_offs_are_the_loss_account": [*LOSS, entry("J-1", ("6100", 500), ("1200", -500)), LOSS_BACK],
    "unapplied_is_the_control_account": [received(500), entry("J-1", ("1000", 500), ("2100", -500))],
    "nothing_is_overpaid": [booked(), applied(500)],
    "invoices_are_booked_once": [invoiced(), booked()],
}

WRONG: dict[str, list[Row]] = {
    "streams_have_no_gaps": [fact("order.X", "s", 1), fact("order.X", "s", 3)],
    "lanes_have_no_gaps": [("billing", "UPDATE lanes SET head = 1 WHERE lane = 7")],
    "everything_is_published": [fact("order.X")],
    "every_position_is_reached": [
        ("order", "UPDATE lanes SET head = 2 WHERE lane = 3"),
        ("credit", "INSERT INTO positions (speaker, lane, sequence) VALUES ('order', 3, 1)"),
    ],
    "every_store_is_the_one_that_spoke": [
        ("order", "INSERT INTO origin (cluster, database, problem) VALUES ('', 0, 'restored')")
    ],
    "nothing_is_stuck": [("order", LETTER.format("parked"))],
    "orders_complete_when_paid": [placed(), shipped(), invoiced(), COMPLETED, ("receivables", ITEM.format(1))],
    "orders_table_is_what_was_recorded": [placed()],
    "exposure_is_what_was_recorded": [APPROVED, invoiced(3, final=False), ("credit", ACCOUNT.format(200))],
    "stock_is_what_was_recorded": [stock("StockReceived", 9), ("fulfillment", LEVELS.format(8, 0))],
    "reserved_is_at_most_on_hand": [stock("StockReceived", 5), stock("StockAllocated", 6)],
    "no_backorder_waits_beside_stock": [("fulfillment", WAITING.format(4))],
    "shipped_is_at_most_ordered": [placed(), shipped(6)],
    "issued_is_shipped": [stock("StockIssued", 4), shipped()],
    "numbers_are_gapless": [invoiced(2), invoiced(3, number=3), series(3)],
    "documents_add_up": [invoiced(total=501)],
    "invoiced_is_at_most_ordered": [placed(), invoiced(3), invoiced(3, number=2)],
    "shipped_is_invoiced": [placed(), shipped(), invoiced(4)],
    "invoices_sum_to_their_orders": [placed(total=501), invoiced()],
    "credited_is_at_most_invoiced": [invoiced(), CREDITED],
    "journal_entries_balance": [entry("J-1", ("1200", 500), ("4000", -499))],
    "trial_balance_is_zero": [entry("J-1", ("1200", 500), ("4000", -499))],
    "journal_table_is_the_journal": [entry("J-1", ("1200", 500), ("4000", -500))],
    "subledger_is_the_control_account": [booked(), BOOKED_MOVEMENT, entry("J-1", ("1200", 499), ("4000", -499))],
    "open_items_are_what_was_recorded": [booked(), applied(200), ("receivables", ITEM.format(301))],
    "received_is_applied_or_unapplied": [received(500), applied(501)],
    "unapplied_is_the_control_account": [received(500), entry("J-1", ("1000", 499), ("2100", -499))],
    "write_offs_are_the_loss_account": [*LOSS, entry("J-1", ("6100", 500), ("1200", -500))],
    "nothing_is_overpaid": [booked(), applied(501)],
    "payments_are_booked_once": [received(500)],
    "invoices_are_booked_once": [invoiced()],
    "analytics_has_every_order": [placed()],
    "analytics_has_the_journal": [entry("J-1", ("1200", 500), ("4000", -500))],
}


@pytest_asyncio.fixture(scope="module")
async def stores(postgres: str) -> Any:
    """The six services' databases, migrated and empty."""
    addresses = {}
    for service in SERVICES:
        addresses[service] = await create_database(postgres, f"verify_{service}")
        connection = await asyncpg.connect(addresses[service])
        folder = Path(str(import_module(f"services.{service}").__file__)).parent / "migrations"
        await migrate(connection, folder)
        await connection.close()
    yield addresses.__getitem__
    for address in addresses.values():
        await drop_database(address)


@pytest_asyncio.fixture
async def given(stores: Addresses) -> Any:
    """Empty the stores, and put these rows in."""
    for service in SERVICES:
        await _execute(stores(service), _EMPTY)

    async def put(rows: list[Row]) -> None:
        for service, sql in rows:
            await _execute(stores(service), sql)

    return put


_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('lanes', 'relay', 'schema_migrations')
    LOOP EXECUTE format('TRUNCATE %I', name); END LOOP;
    UPDATE lanes SET head = 0; UPDATE relay SET cursor = 0;
END $$
"""


async def _execute(address: str, sql: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


Given = Callable[[list[Row]], Awaitable[None]]


def test_every_check_is_shown_to_fail() -> None:
    assert WRONG.keys() == CHECK.keys()


@pytest.mark.parametrize("name", WRONG)
async def test_a_check_names_what_is_wrong(name: str, stores: Addresses, given: Given) -> None:
    await given(WRONG[name])
    async with open_stores(stores) as opened:
        finding = await CHECK[name](opened)
    assert finding.offending


@pytest.mark.parametrize("name", RIGHT)
async def test_a_check_is_content_with_what_is_right(name: str, stores: Addresses, given: Given) -> None:
    await given(RIGHT[name])
    async with open_stores(stores) as opened:
        finding = await CHECK[name](opened)
    assert finding.checked > 0
    assert finding.offending == ()


SHIPPED_AND_DUE = [placed(), shipped(), invoiced(), ("receivables", ITEM.format(500))]


def unapplied(at: int = 0) -> Row:
    return fact("receivables.CashUnapplied", order_id="O-1", at=at)


def completed_then(*later: str, at: int = 0) -> list[Row]:
    """The facts of order O-1, after those that every order has."""
    names = enumerate(("order.OrderCompleted", *later), 3)
    return [fact(name, "order-O-1", version, at=at, order_id="O-1") for version, name in names]


@pytest.mark.parametrize(
    ("history", "right"),
    [
        ([unapplied()], True),
        ([unapplied(), *completed_then("order.InvoiceReopened")], True),
        ([unapplied(at=2), *completed_then(at=1)], True),  # from before orders heard of it
        ([unapplied(at=1), *completed_then(at=1)], False),
        ([fact("order.InvoiceReopened", "order-O-1", 2, order_id="O-1"), unapplied(), *completed_then()], False),
    ],
    ids=["not_completed", "heard_afterwards", "said_afterwards", "said_before", "heard_before"],
)
async def test_something_is_due_for_a_completed_order_only_if_cash_was_unapplied_afterwards(
    history: list[Row], right: bool, stores: Addresses, given: Given
) -> None:
    await given([*SHIPPED_AND_DUE, *history])
    async with open_stores(stores) as opened:
        finding = await CHECK["orders_complete_when_paid"](opened)
    assert (finding.offending == ()) is right


async def test_empty_stores_pass_and_one_wrong_entry_fails_the_whole(stores: Addresses, given: Given) -> None:
    assert (await verify_all(stores, seconds_max=0)).ok
    await given([entry("J-1", ("1200", 500), ("4000", -497))])
    verdict = await verify_all(stores, seconds_max=0)
    failed: Iterator[str] = (check.name for check in verdict.checks if not check.ok)
    assert {"journal_entries_balance", "trial_balance_is_zero"} <= set(failed)
    assert await trial_balance(stores) == 3


async def test_an_open_letter_fails_a_look_unless_it_is_allowed_and_then_nothing_waits_for_it(
    stores: Addresses, given: Given
) -> None:
    await given(WRONG[OPEN_LETTERS])
    assert not (await verify_all(stores, seconds_max=0)).ok
    async with asyncio.timeout(60):  # an hour, if it were waited for
        verdict = await verify_all(stores, seconds_max=3_600, tolerated=[OPEN_LETTERS])
    assert verdict.ok
    (letters,) = [check for check in verdict.checks if check.tolerated]
    assert (letters.name, letters.ok, bool(letters.offending)) == (OPEN_LETTERS, False, True)
    await given([entry("J-1", ("1200", 500), ("4000", -497))])
    assert not (await verify_all(stores, seconds_max=0, tolerated=[OPEN_LETTERS])).ok


async def test_what_moves_on_is_on_its_way_and_what_stands_still_offends(stores: Addresses, given: Given) -> None:
    """On a system that never rests there is always something under way: what was found must be found again."""
    deaf = [
        ("receivables", "UPDATE lanes SET head = 1 WHERE lane = 3"),
        ("credit", "INSERT INTO positions (speaker, lane) VALUES ('receivables', 3)"),
    ]
    await given([entry("J-1", ("1200", 500), ("4000", -500)), *deaf])

    async def speak() -> None:
        for cursor in itertools.count(-1_000_000):
            await _execute(stores("receivables"), f"UPDATE relay SET cursor = {cursor}")
            await _execute(stores("receivables"), "UPDATE lanes SET head = head + 1 WHERE lane = 3")

    async def checks(seconds_max: float) -> set[str]:
        verdict = await verify_all(stores, seconds_max=seconds_max)
        return {check.name for check in verdict.checks if not check.ok}

    at_once = await checks(0)
    assert "everything_is_published" in at_once
    assert "every_position_is_reached" in at_once
    speaking = asyncio.create_task(speak())
    under_load = await checks(1.2)
    assert not speaking.done()
    speaking.cancel()
    assert "everything_is_published" not in under_load  # it is never at the end, but it goes on
    assert "every_position_is_reached" in under_load  # nobody hears lane 3, though its head goes on
    await asyncio.wait([speaking])


async def test_what_comes_back_is_due_again_and_never_more_than_was_written_off(
    stores: Addresses, given: Given
) -> None:
    async def offending(name: str) -> tuple[str, ...]:
        async with open_stores(stores) as opened:
            return (await CHECK[name](opened)).offending

    await given([booked(), *LOSS, ("receivables", ITEM.format(200))])
    await given([entry("J-1", ("6100", 500), ("1200", -500)), LOSS_BACK])
    assert await offending("open_items_are_what_was_recorded") == ()
    assert await offending("write_offs_are_the_loss_account") == ()
    await given([off("WriteOffReversed", 301), entry("J-3", ("1200", 301), ("6100", -301))])
    assert await offending("write_offs_are_the_loss_account") == ("O-1-I1: -1 written off",)


async def test_verification_never_writes(stores: Addresses, given: Given) -> None:
    async with open_stores(stores) as opened:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await opened.rows("order", "DELETE FROM events")
