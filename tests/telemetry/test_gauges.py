"""The statements behind the business gauges, on migrated stores: what waits is counted where it waits."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from services.order.gauges import GAUGES as ORDER_GAUGES
from services.order.gauges import STAGES
from shared.eventsourced.migrating import migrate
from shared.eventsourced.store import connect_pool
from shared.money import EXPONENTS
from shared.telemetry import gauges
from shared.telemetry.gauges import ask
from tests.conftest import CreateDatabase
from tests.deploy.files import services

pytestmark = pytest.mark.connected

ORDER = """
INSERT INTO orders VALUES ($1, 'C', $2, '', 'GBP', 100, 1, false, '2010-11-30T08:26:00Z', '2010-11-30T09:00:00Z',
    '', 0, false, 0, false, 0, 0, 0, $3, now() - $4 * interval '1 second')
"""


def flat(families: list[Any]) -> dict[str, dict[str, float]]:
    """Name → label (only one) → value."""
    return {
        family.metric.prometheus: {" ".join(labels): value for labels, value in family.samples} for family in families
    }


async def pool_of(name: str, fresh_database: CreateDatabase) -> Any:
    pool = await connect_pool(await fresh_database(f"gauges_{name}"), size_max=2)
    async with pool.acquire() as connection:
        await migrate(connection, services()[name].migrations)
    return pool


@pytest.mark.parametrize("name", ["order", "credit", "fulfillment", "receivables"])
async def test_with_nothing_in_the_store_nothing_waits(name: str, fresh_database: CreateDatabase) -> None:
    pool = await pool_of(name, fresh_database)
    try:
        found = flat(await ask(pool, services()[name].gauges))
        assert found.pop("o2c_currency_minor_digits", EXPONENTS) == EXPONENTS  # what no store changes
        for values in found.values():
            assert set(values.values()) <= {0.0}
    finally:
        await pool.close()


async def test_an_order_waits_at_its_stage(fresh_database: CreateDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pool_of("order", fresh_database)
    try:
        for row in [
            ("O-1", "placed", "credit", 50),
            ("O-2", "held", "credit", 500),
            ("O-3", "confirmed", "stock", 60),
            ("O-4", "confirmed", "warehouse", 70),
            ("O-5", "confirmed", "invoice", 80),
            ("O-6", "confirmed", "payment", 90),
            ("O-7", "cancelling", "cancelling", 30),
            ("O-8", "completed", "completed", 30),
        ]:
            await pool.execute(ORDER, *row)
        found = flat(await ask(pool, ORDER_GAUGES))
        stages = {"credit": 2, "stock": 1, "warehouse": 1, "invoice": 1, "payment": 1, "cancelling": 1}
        assert found["o2c_orders_waiting"] == stages
        oldest = found["o2c_orders_waiting_oldest_seconds"]
        assert 500 <= oldest["credit"] < 1_000
        assert 60 <= oldest["stock"] < 500
        assert 90 <= oldest["payment"] < 500
        monkeypatch.setattr(gauges, "ROWS_MAX", 2)
        assert sum(flat(await ask(pool, ORDER_GAUGES))["o2c_orders_waiting"].values()) == 5  # 2 of those confirmed
    finally:
        await pool.close()


async def test_orders_from_before_the_stages_were_kept_are_counted_in_theirs(
    fresh_database: CreateDatabase, tmp_path: Path
) -> None:
    pool = await connect_pool(await fresh_database("gauges_stages"), size_max=2)
    migrations = services()["order"].migrations
    shutil.copy(migrations / "1001_orders.sql", tmp_path)
    columns = "status, allocation, shipped_fully, invoiced_fully, confirmed_at"
    rest = "customer_id, reason, currency, total_minor, line_count, prepaid, placed_at, shipments, invoices_open, "
    rest += "invoiced_minor, paid_minor, credited_minor"
    try:
        async with pool.acquire() as connection:
            await migrate(connection, tmp_path)
            for number, row in enumerate(
                [
                    ("held", "", False, False, None),
                    ("confirmed", "partial", False, False, 60),
                    ("confirmed", "reserved", False, False, 70),
                    ("confirmed", "reserved", True, False, 80),
                    ("confirmed", "reserved", True, True, 90),
                    ("cancelling", "reserved", False, False, 100),
                    ("completed", "reserved", True, True, 110),
                ]
            ):
                await connection.execute(
                    f"INSERT INTO orders (order_id, {columns}, {rest}) VALUES "
                    "($1, $2, $3, $4, $5, now() - $6 * interval '1 second', "
                    "'C', '', 'GBP', 100, 1, false, '2010-11-30T08:26:00Z', 0, 0, 0, 0, 0)",
                    f"O-{number}",
                    *row,
                )
            await migrate(connection, migrations)
        found = flat(await ask(pool, ORDER_GAUGES))
        assert found["o2c_orders_waiting"] == dict.fromkeys(STAGES, 1)
        oldest = found["o2c_orders_waiting_oldest_seconds"]
        assert oldest["credit"] < 60 <= oldest["stock"] < oldest["payment"] < 1_000
    finally:
        await pool.close()


async def test_a_store_that_takes_too_long_is_given_up(
    fresh_database: CreateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "STATEMENT_SECONDS_MAX", 0.05)
    pool = await pool_of("order", fresh_database)
    slow = gauges.Gauge(ORDER_GAUGES[0].metrics, "SELECT 'stock', 1, 1 FROM pg_sleep(30)")
    try:
        with pytest.raises(TimeoutError):
            await ask(pool, [slow])
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


WAITING = "INSERT INTO fulfillments VALUES ($1, 'C', 'waiting', false, 0, 0, 0, $2, '[]')"
NOTED = "INSERT INTO noted_shipments VALUES ($1, $2, now() - $3 * interval '1 hour', now() - $4 * interval '1 hour')"


async def test_shipments_that_wait_and_those_rejected_lately_are_counted(fresh_database: CreateDatabase) -> None:
    pool = await pool_of("fulfillment", fresh_database)
    try:
        for order_id, waiting in (("O-1", 2), ("O-2", 1), ("O-3", 0)):
            await pool.execute(WAITING, order_id, waiting)
        for order_id, shipment_id, noted, rejected in (
            ("O-1", "S-1", 7, None),
            ("O-1", "S-2", 5, None),
            ("O-2", "S-1", 90, 80),
            ("O-2", "S-2", 3, None),
            ("O-3", "S-1", 50, None),  # carried out
            ("O-3", "S-2", 50, 23),
        ):
            await pool.execute(NOTED, order_id, shipment_id, noted, rejected)
        found = flat(await ask(pool, services()["fulfillment"].gauges))
        assert (found["o2c_shipments_waiting"][""], found["o2c_shipments_rejected"][""]) == (3, 1)
        assert 7 * 3_600 <= found["o2c_shipments_waiting_oldest_seconds"][""] < 8 * 3_600
    finally:
        await pool.close()


async def test_money_and_queues_are_counted(fresh_database: CreateDatabase) -> None:
    receivables = await pool_of("receivables", fresh_database)
    credit, fulfillment = await pool_of("credit", fresh_database), await pool_of("fulfillment", fresh_database)
    try:
        await receivables.execute(
            "INSERT INTO unapplied VALUES "
            "('P-1', 'GBP', 'C', 'payment', '', '', '2010-12-01', 500, now() - interval '3 hours'), "
            "('P-2', 'GBP', 'C', 'payment', '', '', current_date, 0, now() - interval '5 hours')"
        )
        await receivables.execute(
            "INSERT INTO open_items VALUES "
            "('I-1', '1', 'O', 'C', 'EUR', current_date - 60, current_date - 30, 900, 700), "
            "('I-2', '2', 'O', 'C', 'EUR', current_date, current_date, 900, 900)"
        )
        found = flat(await ask(receivables, services()["receivables"].gauges))
        assert found["o2c_cash_unapplied"] == {"GBP": 1}
        assert found["o2c_cash_unapplied_minor"] == {"GBP": 500}
        assert 3 * 3_600 <= found["o2c_cash_unapplied_oldest_seconds"]["GBP"] < 4 * 3_600
        assert found["o2c_invoices_overdue"] == {"EUR": 1}
        assert found["o2c_invoices_overdue_minor"] == {"EUR": 700}
        await credit.execute(
            "INSERT INTO credit_reviews (order_id, status, requested_at) "
            "VALUES ('O-1', 'referred', now()), ('O-2', 'approved', now())"
        )
        assert flat(await ask(credit, services()["credit"].gauges))["o2c_credit_reviews_waiting"] == {
            "referred": 1,
            "declined": 0,
        }
        await fulfillment.execute(
            "INSERT INTO backorders VALUES ('A', 'O-1', 3, now()), ('A', 'O-2', 0, now()), ('B', 'O-1', 4, now())"
        )
        found = flat(await ask(fulfillment, services()["fulfillment"].gauges))
        assert (found["o2c_backorders"][""], found["o2c_backorders_pieces"][""]) == (2, 7)
    finally:
        for pool in (receivables, credit, fulfillment):
            await pool.close()
