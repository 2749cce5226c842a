"""The search of the control tower on a real PostgreSQL: what it finds, and that it never reads a table through."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.analytics.app import service
from services.analytics.pages.peers import Peers
from services.analytics.pages.searching import FOUND, HITS_MAX, SUGGESTED, SUGGESTIONS_MAX, Search
from services.analytics.pages.stories import Stories
from shared.eventsourced.migrating import migrate
from shared.settings import Settings
from tests.analytics.history import SHIPMENT, history
from tests.analytics.test_analysts import hear
from tests.conftest import CreateDatabase
from tests.tower.given import GivenRows, GivenServices

pytestmark = pytest.mark.connected

ROWS = 20_000
"""Enough that reading a table through would cost the planner more than an index."""

MANY = f"""
INSERT INTO order_cycle (order_id, customer_id) SELECT 'O-' || n, 'C-' || n FROM generate_series(100, {ROWS}) n;
INSERT INTO order_story (order_id, message_id) SELECT 'O-' || n, 'm' || n FROM generate_series(100, {ROWS}) n;
INSERT INTO customers (customer_id) SELECT 'C-' || n FROM generate_series(100, {ROWS}) n;
INSERT INTO bills (bill_id, kind, order_id) SELECT 'B-' || n, k, 'O-' || n
  FROM generate_series(100, {ROWS}) n, unnest(ARRAY['invoice', 'credit_note']) k;
INSERT INTO receipts (payment_id) SELECT 'P-' || n FROM generate_series(100, {ROWS}) n;
INSERT INTO order_shipments (shipment_id, order_id)
  SELECT s, 'O-' || n FROM generate_series(100, {ROWS}) n, unnest(ARRAY['S-' || n, 'S-ALL']) s;
ANALYZE;
"""


class Reading(GivenRows):
    """Commands that only read, by one connection; `read_through`: tables that a statement read as a whole."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        super().__init__()
        self.connection = connection
        self.read_through: list[str] = []

    async def fetch(self, sql: str, *args: Any) -> Any:
        self.asked.append((sql, args))
        ((plan,),) = await self.connection.fetch(f"EXPLAIN (FORMAT JSON) {sql}", *args)
        self.read_through += _read_through(json.loads(plan)[0]["Plan"])
        return await self.connection.fetch(sql, *args)


def _read_through(plan: dict[str, Any]) -> list[str]:
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [table for inner in plan.get("Plans", ()) for table in _read_through(inner)]


@pytest_asyncio.fixture
async def reading(fresh_database: CreateDatabase) -> AsyncIterator[Reading]:
    """A store with the known history among many other rows."""
    address = await fresh_database("search")
    connection = await asyncpg.connect(address)
    await migrate(connection, service(Settings()).migrations)
    await hear(address, history())
    await connection.execute(MANY)
    yield Reading(connection)
    await connection.close()


STORIES = {
    "O-1": "/tower/orders/O-1",
    "o-1": "/tower/orders/O-1",
    "C-1": "/tower/customers/C-1",
    "O-1-1": "/tower/invoices/O-1-1",
    "R-O-4": "/tower/invoices/O-4-1?mark=R-O-4",
    "P-O-2": "/tower/payments/P-O-2",
    "p-lost": "/tower/payments/P-LOST",
    "s-100": "/tower/orders/O-100?mark=S-100",
}


async def test_every_id_leads_to_its_story_by_one_statement_and_indexes_alone(reading: Reading) -> None:
    search = Search(reading, Peers({}))
    for wanted, address in STORIES.items():
        assert [hit.address for hit in (await search.find(wanted))["hits"]] == [address]
    assert [sql for sql, _ in reading.asked] == [FOUND] * len(STORIES)
    assert reading.read_through == []


async def test_what_nothing_has_suggests_orders_by_their_index(reading: Reading) -> None:
    found = await Search(reading, Peers({})).find("O-12")
    assert found["hits"] == []
    assert len(found["near"]) == SUGGESTIONS_MAX
    assert all(order_id.startswith("O-12") for order_id in found["near"])
    assert [sql for sql, _ in reading.asked] == [FOUND, SUGGESTED]
    assert reading.read_through == []


async def test_shipments_of_one_id_are_told_apart_by_their_orders(reading: Reading) -> None:
    found = await Search(reading, Peers({})).find(SHIPMENT)
    assert [(hit.of, hit.address) for hit in found["hits"]] == [
        (order_id, f"/tower/orders/{order_id}?mark={SHIPMENT}") for order_id in ("O-1", "O-2", "O-3", "O-4")
    ]
    assert not found["more"]
    every = await Search(reading, Peers({})).find("S-ALL")
    assert (len(every["hits"]), every["more"]) == (HITS_MAX, True)
    assert reading.read_through == []


async def test_a_payment_tells_the_story_of_what_it_pays_by_indexes_alone(reading: Reading) -> None:
    services = GivenServices()
    services.answers["/payments/P-O-2"] = {"unapplied_minor": 0, "applications": [{"invoice_id": "O-2-1"}]}
    story = await Stories(reading, Peers({"receivables": "http://receivables"}, transport=services)).payment("P-O-2")
    assert story["payment"]["amount_minor"] == 90_00
    assert {line["order_id"] for line in story["lines"]} == {"O-2"}
    assert "90.00 EUR of P-O-2 applied to INV-O-2, 6.00 EUR still due" in [line["summary"] for line in story["lines"]]
    assert len(reading.asked) == 3
    assert reading.read_through == []
