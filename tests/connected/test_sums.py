"""Sums of amounts that are each within the limit never fail for their size."""

from typing import Any

import pytest

from services.receivables.app import service
from services.receivables.queries import account
from shared.eventsourced.migrating import migrate
from shared.eventsourced.store import connect_pool
from shared.money import AMOUNT_MINOR_MAX
from shared.settings import Settings
from tests.connected.support_engine import Replica

pytestmark = pytest.mark.connected
COUNT = 10_000
OPEN_ITEMS = """
INSERT INTO open_items (invoice_id, number, order_id, customer_id, currency, issued_on, due_on, total_minor, open_minor)
SELECT 'I-' || n, 'INV-' || n, 'O-' || n, 'C-1', 'GBP', '2026-03-01', '2026-03-31', $1::bigint, $1::bigint
FROM generate_series(1, $2::int) n
"""


async def test_a_customers_account_sums_what_no_64_bits_hold(fresh_database: Any) -> None:
    pool = await connect_pool(await fresh_database("sums"))
    books = Replica(service(Settings()), pool)
    async with pool.acquire() as connection:
        await migrate(connection, books.service.migrations)
        await connection.execute(OPEN_ITEMS, AMOUNT_MINOR_MAX, COUNT)
    (balance,) = (await account(books.queue, "C-1"))["balances"]
    assert balance == {"currency": "GBP", "open_minor": COUNT * AMOUNT_MINOR_MAX, "unapplied_minor": 0}
    assert type(balance["open_minor"]) is int
    pool.terminate()
