"""What one transaction's bound leaves over is done by itself, by however many replicas look for it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.fulfillment.app import service
from services.fulfillment.domain.stock import FOLLOW_UPS_MAX
from services.fulfillment.policies import on_order_confirmed, on_receipt
from shared.contracts.inbound import Receipt
from shared.contracts.orders import OrderConfirmed, OrderLine
from shared.eventsourced.decider import To
from shared.eventsourced.migrating import migrate
from shared.eventsourced.policy import Heard
from shared.eventsourced.store import connect_pool
from shared.eventsourced.unit_of_work import Batch
from shared.frame.due import do_what_is_due
from shared.settings import Settings
from tests.connected.support_engine import Replica, eventually
from tests.engine.toy import AddCoins, jar

pytestmark = pytest.mark.connected
AT = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)
FILLS = 3
LEVEL = "SELECT on_hand, reserved, backordered FROM stock_levels"


def confirmed(order_id: str) -> OrderConfirmed:
    return OrderConfirmed(order_id, "C-1", "GBP", (OrderLine(1, "A", 1, 100, 0),), 100, 0, 100, AT)


async def test_one_receipt_fills_every_order_that_waits(fresh_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.fulfillment.domain.stock.FILLS_MAX", FILLS)
    in_one_transaction = FILLS * (FOLLOW_UPS_MAX + 1)
    dsn = await fresh_database("due")
    pools = [await connect_pool(dsn) for _ in range(2)]
    house, other = (Replica(service(Settings()), pool) for pool in pools)
    async with house.pool.acquire() as connection:
        await migrate(connection, house.service.migrations)
    heard = Heard(id="m", type="t", at=AT)
    for n in range(50):
        await house.do(*on_order_confirmed(confirmed(f"O-{n}"), heard))
    await house.do(*on_receipt(Receipt("R-1", "A", 48), heard))
    assert await level(house) == (48, in_one_transaction, 50 - in_one_transaction)
    looking = [asyncio.create_task(do_what_is_due(each.service, each.queue, each.work)) for each in (house, other)]
    await eventually(lambda: _is(house, (48, 48, 2)))
    facts = await house.pool.fetchval("SELECT count(*) FROM events")
    await asyncio.sleep(2.5)  # two more looks
    assert await house.pool.fetchval("SELECT count(*) FROM events") == facts
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    filled = "SELECT count(*) FROM fulfillments WHERE status = 'reserved'"
    assert await house.pool.fetchval(filled) == 48
    for pool in pools:
        pool.terminate()


async def test_what_cannot_be_written_does_not_keep_others_from_what_is_due_to_them(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replica.work.run

    async def unwritable(batch: Batch) -> None:
        if batch.works[0].commands[0].key == "C-1":
            raise asyncpg.DataError("no such day")
        await run(batch)

    async def due(_: Any) -> list[To[Any]]:
        return [To(jar, customer, AddCoins(customer, "O-1", 1)) for customer in ("C-1", "C-2")]

    monkeypatch.setattr(replica.work, "run", unwritable)
    looking = asyncio.create_task(do_what_is_due(replace(replica.service, due=due), replica.queue, replica.work))
    await eventually(lambda: replica.pool.fetchval("SELECT count(*) FROM events WHERE originator_id = 'jar-C-2'"))
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


async def level(house: Replica) -> tuple[int, ...]:
    row: asyncpg.Record = await house.pool.fetchrow(LEVEL)
    return tuple(row)


async def _is(house: Replica, wanted: tuple[int, ...]) -> bool:
    return await level(house) == wanted
