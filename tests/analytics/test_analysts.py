"""The schema `analytics` on a real PostgreSQL: the questions of docs/analysts.md and their answers, and who may ask."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copy
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from o2c.stack.postgres import ANALYST, ANALYST_SETTINGS
from services.analytics.app import service
from services.analytics.projections import PROJECTIONS
from services.analytics.queries import PAID_AT, STATUSES
from shared.contracts import billing
from shared.eventsourced.migrating import check_tables, migrate
from shared.eventsourced.projecting import Column, MessageProjection, Table
from shared.eventsourced.rows import Rows, merge_rows, prepared, write_rows
from shared.settings import Settings
from tests.analytics.history import SHIPMENT, Said, day, history
from tests.analytics.messages import ends, story_of
from tests.conftest import CreateDatabase

pytestmark = pytest.mark.connected

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
QUESTIONS = {
    int(number): sql
    for number, sql in re.findall(
        r"^### (\d+)\..*?\n```sql\n(.*?)```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
}
REFUSED = (
    "SELECT * FROM public.order_cycle",
    "SELECT * FROM public.positions",
    "SELECT public.lock_store()",
    "SELECT public.analytics_admits('o2c_analyst')",
    "INSERT INTO customers (customer_id) VALUES ('C-9')",
    "DELETE FROM {}",
    "CREATE TABLE public.mine ()",
    "CREATE TABLE analytics.mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
)
HOUR = timedelta(hours=1)
OLDER_SHIPMENTS = Table(
    "shipments",
    (Column("shipment_id", "text"),),
    tuple(
        Column(name, kind)
        for name, kind in {
            "order_id": "text",
            "customer_id": "text",
            "carrier": "text",
            "tracking": "text",
            "final": "boolean",
            "shipped_at": "timestamptz",
            "delivered_at": "timestamptz",
            "recorded_at": "timestamptz",
            "lines": "json",
        }.items()
    ),
)
"""As versions before `order_shipments` declare and write it."""

ANSWERS: dict[int, list[tuple[Any, ...]]] = {
    1: [
        (day("03-02"), "EUR", 2, 216_00),
        (day("03-03"), "EUR", 1, 60_00),
        (day("03-03"), "GBP", 1, 60_00),
        (day("03-04"), "GBP", 1, 240_00),
    ],
    2: [("completed", "EUR", 3, 276_00), ("held", "GBP", 1, 240_00), ("invoiced", "GBP", 1, 60_00)],
    3: [("DE", 3, 2 * HOUR, 3 * HOUR), ("GB", 1, 5 * HOUR, 5 * HOUR)],
    4: [
        ("SKU-1", "EUR", 4, 200_00),
        ("SKU-1", "GBP", 4, 200_00),
        ("SKU-2", "GBP", 5, 50_00),
        ("SKU-2", "EUR", 3, 30_00),
    ],
    5: [("SKU-2", 2)],
    6: [("C-1", "EUR", "INV-O-3", 60_00, 8), ("C-2", "GBP", "INV-O-4", 24_00, 8)],
    7: [("EUR", 0, 60_00), ("GBP", 24_00, 24_00)],
    8: [
        ("EUR", "1000", 270_00, 0, 270_00),
        ("EUR", "1200", 336_00, 276_00, 60_00),
        ("EUR", "2100", 270_00, 330_00, -60_00),
        ("EUR", "2200", 0, 46_00, -46_00),
        ("EUR", "4000", 0, 230_00, -230_00),
        ("EUR", "6100", 6_00, 0, 6_00),
        ("GBP", "1000", 5_00, 0, 5_00),
        ("GBP", "1200", 36_00, 12_00, 24_00),
        ("GBP", "2100", 0, 5_00, -5_00),
        ("GBP", "2200", 2_00, 6_00, -4_00),
        ("GBP", "4000", 10_00, 30_00, -20_00),
    ],
    9: [("EUR", 60_00, 60_00, 0), ("GBP", 24_00, 24_00, 0)],
    10: [("C-1", "EUR", 60_00, Decimal("15.5")), ("C-2", "GBP", 5_00, None)],
}


@pytest_asyncio.fixture
async def database(postgres: str, fresh_database: CreateDatabase) -> str:
    """The migrated database of analytics on a server that has the analysts' role."""
    address = await fresh_database("analytics")
    connection = await asyncpg.connect(address)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ANALYST):
            await connection.execute(f"CREATE ROLE {ANALYST} LOGIN")
        for name, value in ANALYST_SETTINGS.items():
            await connection.execute(f"ALTER ROLE {ANALYST} SET {name} = '{value}'")
        await migrate(connection, service(Settings()).migrations)
        await check_tables(connection, [projection.table for projection in PROJECTIONS])
    finally:
        await connection.close()
    return address


@pytest_asyncio.fixture
async def analyst(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of the analysts' role after the known history."""
    await hear(database, history())
    connection = await as_analyst(database)
    yield connection
    await connection.close()


async def as_analyst(database: str) -> asyncpg.Connection:
    """A session of the role: logged in where the server lets it in without a password, else assumed."""
    parts = urlsplit(database)
    host = parts.netloc.rpartition("@")[2]
    try:
        return await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{ANALYST}@{host}")))
    except asyncpg.InvalidAuthorizationSpecificationError:
        connection = await asyncpg.connect(database, server_settings=dict(ANALYST_SETTINGS))
        await connection.execute(f"SET SESSION AUTHORIZATION {ANALYST}")
        return connection


async def hear(database: str, said: list[Said], batch: int = 7) -> None:
    """Write the rows that follow from these messages, batch by batch as the engine does."""
    connection = await asyncpg.connect(database)
    try:
        for start in range(0, len(said), batch):
            for projection in PROJECTIONS:
                assert isinstance(projection, MessageProjection)
                heard = [(m, h) for m, h in said[start : start + batch] if type(m) in projection.rows]
                rows = merge_rows(projection.table, [r for m, h in heard for r in projection.rows[type(m)](m, h)])
                if rows:
                    await write_rows(connection, prepared([Rows(projection.table, rows, replace=False)]))
    finally:
        await connection.close()


def test_the_page_asks_ten_questions() -> None:
    assert sorted(QUESTIONS) == sorted(ANSWERS) == list(range(1, 11))


@pytest.mark.parametrize("number", sorted(ANSWERS))
async def test_a_question_has_its_answer(analyst: asyncpg.Connection, number: int) -> None:
    assert [tuple(row) for row in await analyst.fetch(QUESTIONS[number])] == ANSWERS[number]


async def test_an_invoice_that_is_open_again_has_no_day_of_payment(analyst: asyncpg.Connection) -> None:
    rows = await analyst.fetch("SELECT invoice_id, paid_on, open_minor, applied_minor, written_off_minor FROM invoices")
    assert {row[0]: tuple(row)[1:] for row in rows} == {
        "O-1-1": (date(2026, 3, 10), 0, 120_00, 0),
        "O-2-1": (date(2026, 3, 25), 0, 90_00, 6_00),
        "O-3-1": (None, 60_00, 0, 0),
        "O-4-1": (None, 24_00, 0, 0),
    }
    paid = await analyst.fetch("SELECT order_id FROM orders WHERE paid_at IS NOT NULL ORDER BY 1")
    assert [row[0] for row in paid] == ["O-1", "O-2"]


async def test_the_day_of_payment_is_that_of_the_last_change_of_what_was_due(database: str) -> None:
    [(message, heard)] = [(m, h) for m, h in history() if type(m) is billing.Invoiced and m.order_id == "O-1"]
    await hear(database, [*history(), (replace(message, invoice_id="O-0-1", total_minor=0), heard)])
    connection = await asyncpg.connect(database)
    try:
        # What an older version kept of a credit note on a paid invoice.
        await connection.execute("""
            INSERT INTO receivable_movements (invoice_id, movement_id, kind, amount_minor, effective_on)
            VALUES ('O-1-1', 'm', 'credited', 0, '2026-05-20'), ('O-0-1', 'n', 'credited', 0, '2026-05-20')""")
        paid = "SELECT invoice_id, paid_on FROM analytics.invoices WHERE paid_on IS NOT NULL ORDER BY 1"
        assert [tuple(row) for row in await connection.fetch(paid)] == [
            ("O-0-1", day("03-02")),  # over nothing: closed when it was issued
            ("O-1-1", day("03-10")),
            ("O-2-1", day("03-25")),
        ]
    finally:
        await connection.close()


async def test_what_was_written_off_and_came_back_is_given_up_no_more(database: str) -> None:
    await hear(database, story_of("O-8"))
    connection = await as_analyst(database)
    try:
        rows = await connection.fetch("SELECT invoice_id, open_minor, applied_minor, written_off_minor FROM invoices")
        assert {row[0]: tuple(row)[1:] for row in rows} == {"O-8-1": (0, 60_00, 0), "O-8-2": (0, 0, 0)}
        assert await connection.fetchval("SELECT written_off_minor FROM orders") == 0
    finally:
        await connection.close()


async def test_every_order_has_its_own_shipment_of_the_same_id(analyst: asyncpg.Connection) -> None:
    shipped = "SELECT order_id, shipment_id, sku, quantity FROM shipment_lines ORDER BY order_id, line_no"
    assert [tuple(row) for row in await analyst.fetch(shipped)] == [
        ("O-1", SHIPMENT, "SKU-1", 2),
        ("O-2", SHIPMENT, "SKU-1", 1),
        ("O-2", SHIPMENT, "SKU-2", 3),
        ("O-3", SHIPMENT, "SKU-1", 1),
        ("O-4", SHIPMENT, "SKU-2", 3),
    ]
    invoiced = "SELECT order_id, final FROM shipments JOIN invoices USING (order_id, shipment_id, final) ORDER BY 1"
    assert [tuple(row) for row in await analyst.fetch(invoiced)] == [
        ("O-1", True),
        ("O-2", True),
        ("O-3", True),
        ("O-4", False),
    ]


async def test_what_an_older_version_has_written_and_still_writes_of_shipments_is_there(
    fresh_database: CreateDatabase, tmp_path: Path
) -> None:
    folder = service(Settings()).migrations
    for path in folder.glob("*.sql"):
        if path.name < "1006":
            copy(path, tmp_path)
    connection = await asyncpg.connect(await fresh_database("older"))

    async def write(*rows: tuple[str, str | None, int | None]) -> None:
        await write_rows(connection, prepared([Rows(OLDER_SHIPMENTS, [_older_row(*row) for row in rows], False)]))

    try:
        await migrate(connection, tmp_path)
        await write(("S-1", "O-1", None), ("S-2", "O-2", 12), ("S-3", None, 13))
        await migrate(connection, folder)
        await write(("S-1", None, 11), ("S-3", "O-3", None), ("S-4", "O-4", None), ("S-2", "O-5", None))
        found = await connection.fetch("SELECT order_id, shipment_id, delivered_at FROM analytics.shipments ORDER BY 1")
        assert [(o, s, at and at.hour) for o, s, at in found] == [
            ("O-1", "S-1", 11),
            ("O-2", "S-2", 12),
            ("O-3", "S-3", 13),
            ("O-4", "S-4", None),
            ("O-5", "S-2", 12),  # the older version took it for the one that was delivered
        ]
    finally:
        await connection.close()


def _older_row(shipment_id: str, order_id: str | None, delivered_at_hour: int | None) -> tuple[Any, ...]:
    at = None if delivered_at_hour is None else datetime(2026, 3, 2, delivered_at_hour, tzinfo=UTC)
    return (shipment_id, order_id, *[None] * 5, at, None, None)


async def test_orders_are_as_far_as_the_service_says(database: str) -> None:
    await hear(database, [*history(), *story_of("O-8"), *ends("O-9")])
    connection = await asyncpg.connect(database)
    cases = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in STATUSES.items())
    shown = f"SELECT order_id, coalesce(CASE {cases} END, 'unknown'), {PAID_AT} FROM public.order_cycle ORDER BY 1"
    viewed = "SELECT order_id, status, paid_at FROM analytics.orders ORDER BY 1"
    try:
        assert await connection.fetch(viewed) == await connection.fetch(shown)
        assert await connection.fetchval("SELECT count(*) FROM analytics.orders") == 7
    finally:
        await connection.close()


async def test_every_view_and_column_says_what_it_means(analyst: asyncpg.Connection) -> None:
    silent = await analyst.fetch("""
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0
        WHERE c.relnamespace = 'analytics'::regnamespace AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL SELECT c.relname, '' FROM pg_class c
        WHERE c.relnamespace = 'analytics'::regnamespace AND obj_description(c.oid, 'pg_class') IS NULL""")
    assert silent == []
    units = await analyst.fetch("""
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'analytics'::regnamespace AND (
            a.attname LIKE '%\\_minor' AND col_description(c.oid, a.attnum) NOT LIKE '%minor units%'
            OR a.attname LIKE '%\\_at' AND col_description(c.oid, a.attnum) NOT LIKE '%UTC%'
            OR a.attname LIKE '%\\_on' AND col_description(c.oid, a.attnum) NOT LIKE '%day%')""")
    assert units == []


async def test_the_role_reads_its_schema_and_nothing_else(analyst: asyncpg.Connection) -> None:
    await analyst.execute("SET default_transaction_read_only = off")  # the rights alone must do
    views = await analyst.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'analytics'::regnamespace")
    for (view,) in views:
        await analyst.fetch(f"SELECT * FROM {view}")
    refused = [statement for statement in REFUSED if "{}" not in statement]
    refused += [statement.format(view) for statement in REFUSED if "{}" in statement for (view,) in views]
    for statement in refused:
        # A view of several tables refuses before anybody's rights are looked at.
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
            await analyst.execute(statement)


async def test_the_roles_sessions_are_bounded_and_read_only(analyst: asyncpg.Connection) -> None:
    for name, value in {"statement_timeout": "1min", "idle_in_transaction_session_timeout": "1min"}.items():
        assert await analyst.fetchval(f"SHOW {name}") == value
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await analyst.execute("CREATE TABLE analytics.mine ()")


async def test_a_role_made_later_is_admitted(postgres: str, database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE ROLE o2c_late")
        await connection.execute("SELECT analytics_admits('o2c_late')")
        await connection.execute("SET ROLE o2c_late")
        assert await connection.fetch("SELECT * FROM analytics.orders") == []
        await connection.execute("RESET ROLE; DROP OWNED BY o2c_late; DROP ROLE o2c_late")
    finally:
        await connection.close()


async def test_a_service_role_that_may_make_no_roles_can_migrate(postgres: str, fresh_database: CreateDatabase) -> None:
    address = await fresh_database("owned")
    name = address.rpartition("/")[2]
    role = f"service_{name[-8:]}"
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"CREATE ROLE {role}; ALTER DATABASE {name} OWNER TO {role}; SET ROLE {role}")
        assert await migrate(connection, service(Settings()).migrations)
        assert await connection.fetch("SELECT * FROM analytics.invoices") == []
        await connection.execute(f"RESET ROLE; REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}")
        await connection.execute(f"DROP ROLE {role}")
    finally:
        await connection.close()


async def test_sums_of_absurd_amounts_are_written(database: str) -> None:
    largest = 2**63 - 1
    story = [(m, h) for m, h in story_of("O-1") if type(m).__name__ in ("Invoiced", "JournalPosted")]
    for number in range(3):
        said = []
        for message, heard in story:
            changes = {name: largest for name in ("total_minor", "net_minor") if hasattr(message, name)}
            again = type(message)(**{f: changes.get(f, getattr(message, f)) for f in message.__struct_fields__})
            said.append((again, type(heard)(f"{heard.id}+{number}", heard.type, heard.at)))
        await hear(database, said)
    connection = await asyncpg.connect(database)
    try:
        flow = "SELECT amount_minor FROM daily_flow WHERE stage = 'Invoiced'"
        assert await connection.fetchval(flow) == 6 * largest
        assert await connection.fetchval("SELECT invoiced_net_minor FROM daily_revenue") == 6 * largest
        assert await connection.fetchval("SELECT invoiced_minor FROM analytics.orders") == 6 * largest
    finally:
        await connection.close()
