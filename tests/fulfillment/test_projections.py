"""The read tables say what the facts say."""

from datetime import UTC, datetime

import msgspec

from services.fulfillment.projections import BACKORDERS, FULFILLMENTS, NOTED_SHIPMENTS, PROJECTIONS, STOCK_LEVELS
from shared.contracts.inbound import Receipt
from shared.eventsourced.projecting import FactProjection, Row, StateProjection, Table
from shared.eventsourced.rows import merge_rows, state_rows
from shared.eventsourced.unit_of_work import fact_rows
from tests.fulfillment.test_flow import _adjust, cancel, confirmed, ended, shipment, warehouse
from tests.in_memory import InMemory


def states(house: InMemory) -> dict[str, list[Row]]:
    found = {}
    for projection in PROJECTIONS:
        if isinstance(projection, StateProjection):
            name = f"{projection.decider.name}-"
            changed = [(stream, state, 0) for stream, (state, _) in house.states.items() if stream.startswith(name)]
            found[projection.table.name] = state_rows(projection, changed)
    return found


def backorders(house: InMemory) -> dict[Row, Row]:
    return rows_of(BACKORDERS, house)


def rows_of(table: Table, house: InMemory) -> dict[Row, Row]:
    projections = [projection for projection in PROJECTIONS if isinstance(projection, FactProjection)]
    rows = fact_rows(projections, house.recorded).get(table, [])
    return {row[:2]: row[2:] for row in merge_rows(table, rows)}


def test_stock_levels_and_orders_are_shown_as_they_are() -> None:
    house = warehouse()
    house.hear(Receipt("R-1", "A", 3))
    house.hear(confirmed(("A", 5), ("B", 1)))
    house.hear(shipment((1, 2)))
    rows = states(house)
    assert sorted(rows[STOCK_LEVELS.name]) == [("A", 1, 1, 2), ("B", 0, 0, 1)]
    (row,) = rows[FULFILLMENTS.name]
    assert row[:-1] == ("O-1", "C-1", "backordered", False, 3, 1, 2, 0)
    assert msgspec.json.decode(row[-1])[0] == {
        "line_no": 1,
        "sku": "A",
        "ordered": 5,
        "reserved": 1,
        "shipped": 2,
        "returned": 0,
    }
    assert len(row) == len(FULFILLMENTS.key) + len(FULFILLMENTS.columns)


def test_backorders_are_what_stocks_still_owe() -> None:
    house = warehouse()
    house.hear(Receipt("R-1", "A", 3))
    house.hear(confirmed(("A", 5)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert backorders(house) == {("A", "O-1"): (2, epoch)}
    house.hear(Receipt("R-2", "A", 1))
    assert backorders(house) == {("A", "O-1"): (1, epoch)}
    house.do(_adjust("A", -2))
    assert backorders(house) == {("A", "O-1"): (3, epoch)}
    house.hear(cancel())
    assert backorders(house) == {("A", "O-1"): (0, epoch)}


def test_an_order_that_never_waited_is_no_backorder() -> None:
    house = warehouse()
    house.hear(Receipt("R-1", "A", 3))
    house.hear(confirmed(("A", 3)))
    house.hear(cancel())
    assert backorders(house) == {}


def test_a_shipment_that_waited_is_listed_and_says_why_it_was_rejected() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    house = warehouse()
    house.hear(shipment())
    assert rows_of(NOTED_SHIPMENTS, house) == {("O-1", "S-1"): (epoch, None, None)}
    house.hear(ended())
    assert rows_of(NOTED_SHIPMENTS, house) == {("O-1", "S-1"): (epoch, epoch, "order_cancelled")}
    (row,) = states(house)[FULFILLMENTS.name]
    assert row[:-1] == ("O-1", "C-1", "cancelled", False, 0, 0, 0, 0)


def test_a_shipment_that_did_not_wait_is_not_listed() -> None:
    house = warehouse()
    house.hear(Receipt("R-1", "A", 3))
    house.hear(confirmed(("A", 3)))
    house.hear(shipment())
    assert rows_of(NOTED_SHIPMENTS, house) == {}
