"""The whole service as a story: orders, stocks, receipts and returns answer each other as the engine lets them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fulfillment.app import service
from services.fulfillment.domain.checks import adjustment_command, return_command, return_receipt_command
from services.fulfillment.domain.fulfillment import fulfillment
from services.fulfillment.domain.fulfillment_state import (
    Backordered,
    CancellationRefused,
    Fulfillment,
    LineQuantity,
    OrderEnded,
    ReservationReleased,
    ShipmentNoted,
    ShipmentRejected,
    Shipped,
    StockReserved,
)
from services.fulfillment.domain.stock import FILLS_MAX, FOLLOW_UPS_MAX, FillBackorders, Stock, StockIssued, stock
from shared.contracts.inbound import Receipt, Shipment, ShippedLine
from shared.contracts.orders import OrderCancellationRequested, OrderCancelled, OrderConfirmed, OrderLine, OrderRejected
from shared.errors import ConflictError, ContractError, DomainError
from shared.eventsourced.decider import To
from shared.settings import Settings
from tests.in_memory import InMemory

AT = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)


def warehouse() -> InMemory:
    return InMemory(service(Settings()))


def confirmed(*lines: tuple[str, int], order_id: str = "O-1", ship_complete: bool = False) -> OrderConfirmed:
    return OrderConfirmed(
        order_id=order_id,
        customer_id="C-1",
        currency="GBP",
        lines=tuple(OrderLine(i, sku, quantity, 100, 2000) for i, (sku, quantity) in enumerate(lines, 1)),
        net_minor=0,
        tax_minor=0,
        total_minor=0,
        confirmed_at=AT,
        ship_complete=ship_complete,
    )


def cancel(order_id: str = "O-1") -> OrderCancellationRequested:
    return OrderCancellationRequested(order_id, "C-1", "changed mind")


def ended(order_id: str = "O-1") -> OrderCancelled:
    return OrderCancelled(order_id, "C-1", "changed mind")


def shipment(*lines: tuple[int, int], shipment_id: str = "S-1", order_id: str = "O-1") -> Shipment:
    return Shipment(shipment_id, order_id, AT, tuple(ShippedLine(*line) for line in lines))


def names(facts: Iterable[Any]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def stock_of(house: InMemory, sku: str) -> Stock:
    state = house.state_of(stock, sku)
    assert isinstance(state, Stock)
    return state


def order_of(house: InMemory, order_id: str) -> Fulfillment:
    state = house.state_of(fulfillment, order_id)
    assert isinstance(state, Fulfillment)
    return state


class TestStory:
    def test_an_order_of_four_products_costs_six_facts_to_reserve_and_five_to_ship(self) -> None:
        house = warehouse()
        for sku in "ABCD":
            house.hear(Receipt(f"R-{sku}", sku, 10))
        facts = house.hear(confirmed(("A", 1), ("B", 2), ("C", 3), ("D", 4)))
        assert names(facts) == ["FulfillmentAccepted", *["StockAllocated"] * 4, "StockReserved"]
        assert names(house.hear(shipment())) == ["Shipped", *["StockIssued"] * 4]
        assert stock_of(house, "D") == Stock(on_hand=6)

    def test_two_lines_of_one_product_cannot_both_get_the_last_piece(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 1))
        facts = house.hear(confirmed(("A", 1), ("A", 1)))
        assert facts[-2:] == [
            StockReserved("O-1", "C-1", (LineQuantity(1, "A", 1),), False),
            Backordered("O-1", "C-1", (LineQuantity(2, "A", 1),)),
        ]

    def test_a_short_order_is_backordered_filled_and_shipped(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        house.hear(Receipt("R-2", "B", 3))
        facts = house.hear(confirmed(("A", 5), ("B", 3)))
        assert facts[-2:] == [
            StockReserved("O-1", "C-1", (LineQuantity(1, "A", 3), LineQuantity(2, "B", 3)), False),
            Backordered("O-1", "C-1", (LineQuantity(1, "A", 2),)),
        ]
        arrived = house.hear(Receipt("R-3", "A", 10))
        assert arrived[-1] == StockReserved("O-1", "C-1", (LineQuantity(1, "A", 2),), True)
        (shipped, *_) = house.hear(shipment())
        assert isinstance(shipped, Shipped)
        assert shipped.final

    def test_the_last_product_asked_may_be_the_short_one(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        facts = house.hear(confirmed(("A", 3), ("B", 1)))
        assert names(facts)[-2:] == ["StockReserved", "Backordered"]
        assert "ShortageNoted" not in names(facts)

    def test_a_shipment_heard_first_is_carried_out_with_the_confirmation(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        assert names(house.hear(shipment())) == ["ShipmentNoted"]
        facts = house.hear(confirmed(("A", 3)))
        assert names(facts)[-3:] == ["StockReserved", "Shipped", "StockIssued"]
        assert stock_of(house, "A") == Stock()

    def test_a_shipment_waiting_for_stock_is_carried_out_when_it_comes(self) -> None:
        house = warehouse()
        house.hear(confirmed(("A", 3)))
        assert names(house.hear(shipment((1, 3)))) == ["ShipmentNoted"]
        assert names(house.hear(Receipt("R-1", "A", 3)))[-3:] == ["StockReserved", "Shipped", "StockIssued"]

    def test_a_cancelled_order_gives_its_stock_to_the_next(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        house.hear(confirmed(("A", 3)))
        house.hear(confirmed(("A", 2), order_id="O-2"))
        facts = house.hear(cancel())
        assert names(facts) == ["ReservationReleased", "StockReleased", "BackordersFilled", "StockReserved"]
        assert facts[-1].order_id == "O-2"

    def test_a_cancelled_backorder_is_not_filled(self) -> None:
        house = warehouse()
        house.hear(confirmed(("A", 3)))
        house.hear(cancel())
        assert names(house.hear(Receipt("R-1", "A", 3))) == ["ReceiptRegistered", "StockReceived"]

    def test_a_cancellation_after_shipping_is_refused(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        house.hear(confirmed(("A", 3)))
        house.hear(shipment((1, 1)))
        assert house.hear(cancel()) == [CancellationRefused("O-1", "C-1", "shipped")]

    def test_a_cancellation_before_the_order_reserves_nothing(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        assert house.hear(cancel()) == [ReservationReleased("O-1", "C-1", "changed mind", ())]
        assert house.hear(confirmed(("A", 3))) == []
        assert stock_of(house, "A").free == 3

    @pytest.mark.parametrize("end", [ended(), OrderRejected("O-1", "C-1", ("No longer ours",))])
    def test_an_order_that_ends_before_it_is_confirmed_lets_no_shipment_wait(self, end: Any) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        house.hear(shipment())
        assert house.hear(end) == [OrderEnded("O-1", "C-1"), ShipmentRejected("S-1", "O-1", "order_cancelled")]
        with pytest.raises(DomainError):
            house.hear(shipment(shipment_id="S-2"))
        assert stock_of(house, "A") == Stock(on_hand=3)

    def test_a_confirmed_order_that_was_let_go_releases_its_stock_once(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        house.hear(confirmed(("A", 3)))
        assert names(house.hear(cancel())) == ["ReservationReleased", "StockReleased"]
        assert house.hear(ended()) == []
        assert stock_of(house, "A").free == 3

    def test_a_receipt_said_again_is_taken_in_once(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 3))
        assert house.hear(Receipt("R-1", "A", 3)) == []
        with pytest.raises(ConflictError):
            house.hear(Receipt("R-1", "A", 4))
        assert stock_of(house, "A").on_hand == 3

    def test_a_count_below_what_is_reserved_backorders_the_youngest(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 4))
        house.hear(confirmed(("A", 2)))
        house.hear(confirmed(("A", 2), order_id="O-2"))
        facts = house.do(_adjust("A", -1))
        assert facts[-1] == Backordered("O-2", "C-1", (LineQuantity(1, "A", 1),), revoked=True)
        assert order_of(house, "O-1").status == "reserved"

    def test_a_refused_adjustment_leaves_its_id_unused(self) -> None:
        house = warehouse()
        with pytest.raises(DomainError):
            house.do(_adjust("A", -1))
        assert house.states == {}
        assert names(house.do(_adjust("A", 1))) == ["AdjustmentRegistered", "StockAdjusted"]

    def test_returned_goods_are_sold_again_only_if_they_can_be(self) -> None:
        house = warehouse()
        house.hear(Receipt("R-1", "A", 4))
        house.hear(confirmed(("A", 4)))
        house.hear(shipment())
        for return_id, restocked in (("RT-1", True), ("RT-2", False)):
            house.do(To(fulfillment, "O-1", return_command(return_id, "O-1", [(1, 2)], "")))
            house.do(To(fulfillment, "O-1", return_receipt_command(return_id, "O-1", [], AT, restocked)))
        assert stock_of(house, "A") == Stock(on_hand=2)

    def test_an_invalid_message_says_every_problem(self) -> None:
        with pytest.raises(ContractError) as raised:
            warehouse().hear(Receipt("", "A\n", 0))
        assert {problem.field for problem in raised.value.problems} == {"receipt_id", "sku", "quantity"}


def test_one_receipt_fills_many_waiting_orders_in_bounded_steps() -> None:
    in_one_transaction = FILLS_MAX * (FOLLOW_UPS_MAX + 1)
    house = warehouse()
    for i in range(in_one_transaction + 10):
        house.hear(confirmed(("A", 1), order_id=f"O-{i}"))
        house.hear(shipment(order_id=f"O-{i}"))  # waits, and so makes the longest chain of reactions
    facts = house.hear(Receipt("R-1", "A", in_one_transaction + 20))
    assert names(facts).count("BackordersFilled") == FOLLOW_UPS_MAX + 1
    assert names(facts).count("StockIssued") == in_one_transaction
    assert stock_of(house, "A").backordered == 10
    assert names(house.do(To(stock, "A", FillBackorders("A")))).count("StockIssued") == 10
    assert stock_of(house, "A") == Stock(on_hand=10)


def _adjust(sku: str, delta: int, adjustment_id: str = "A-1") -> To[Any]:
    house = service(Settings())
    decider = next(decider for decider in house.deciders if decider.name == "adjustment")
    return To(decider, adjustment_id, adjustment_command(adjustment_id, sku, delta, ""))


# ---- Whatever happens, in whatever order

ORDERS, SKUS = ("O-1", "O-2", "O-3", "O-4"), ("A", "B")
QUANTITIES = st.integers(1, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("confirm"), st.sampled_from(ORDERS), st.lists(QUANTITIES, min_size=1, max_size=3)),
        st.tuples(st.just("receive"), st.sampled_from(SKUS), st.integers(1, 8)),
        st.tuples(st.just("adjust"), st.sampled_from(SKUS), st.integers(-5, 5).filter(bool)),
        st.tuples(st.just("ship"), st.sampled_from(ORDERS), st.just(0)),
        st.tuples(st.just("ship"), st.sampled_from(ORDERS), st.tuples(st.integers(1, 3), QUANTITIES)),
        st.tuples(st.just("cancel"), st.sampled_from(ORDERS), st.just(0)),
        st.tuples(st.just("end"), st.sampled_from(ORDERS), st.just(0)),
        st.tuples(st.just("return"), st.sampled_from(ORDERS), st.tuples(st.integers(1, 3), QUANTITIES)),
    ),
    max_size=30,
)


@given(STEPS, st.booleans())
def test_stocks_and_orders_always_agree(steps: list[tuple[str, str, Any]], ship_complete: bool) -> None:
    house = warehouse()
    for i, (step, key, detail) in enumerate(steps):
        try:
            _take(house, i, step, key, detail, ship_complete)
        except DomainError:
            continue  # refused, and then nothing of it may have happened
        finally:
            _check(house)


def _take(house: InMemory, i: int, step: str, key: str, detail: Any, ship_complete: bool) -> None:
    if step == "confirm":
        lines = [(SKUS[n % 2], quantity) for n, quantity in enumerate(detail)]
        house.hear(confirmed(*lines, order_id=key, ship_complete=ship_complete))
    elif step == "receive":
        house.hear(Receipt(f"R-{i}", key, detail))
    elif step == "adjust":
        house.do(_adjust(key, detail, f"A-{i}"))
    elif step == "ship":
        house.hear(shipment(*([detail] if detail else []), shipment_id=f"S-{i}", order_id=key))
    elif step == "cancel":
        house.hear(cancel(key))
    elif step == "end":
        house.hear(ended(key))
    else:
        house.do(To(fulfillment, key, return_command(f"RT-{i}", key, [detail], "")))
        house.do(To(fulfillment, key, return_receipt_command(f"RT-{i}", key, [], AT, bool(i % 2))))


def _check(house: InMemory) -> None:
    orders = [order_of(house, order_id) for order_id in ORDERS]
    for sku in SKUS:
        state = stock_of(house, sku)
        assert 0 <= state.reserved <= state.on_hand
        assert state.reserved == sum(place.quantity for place in state.allocations.places.values())
        assert state.backordered == sum(place.quantity for place in state.backorders.places.values())
        assert state.free == 0 or not state.backorders.places, "stock lies free beside waiting orders"
        for order_id, order in zip(ORDERS, orders, strict=True):
            lines = [line for line in order.lines.values() if line.sku == sku]
            open_lines = lines if order.phase == "open" else []
            assert state.allocations.quantity_of(order_id) == sum(line.reserved for line in lines)
            assert state.backorders.quantity_of(order_id) == sum(line.unreserved for line in open_lines)
    for order in orders:
        _check_order(order)
    _check_history(house)


def _check_order(order: Fulfillment) -> None:
    assert order.phase != "asking"
    assert order.reserved == sum(line.reserved for line in order.lines.values())
    assert order.shipped == sum(line.shipped for line in order.lines.values())
    if order.phase == "open":
        assert order.unreserved == sum(line.unreserved for line in order.lines.values())
    assert not (order.phase == "cancelled" and (order.shipped or order.waiting))
    for line in order.lines.values():
        assert 0 <= line.returned <= line.shipped
        assert min(line.reserved, line.unreserved) >= 0
    if order.ship_complete and order.phase == "open" and order.unreserved and not order.shipped:
        assert all(order.shipments[shipment_id].status != "shipped" for shipment_id in order.shipments)


def _check_history(house: InMemory) -> None:
    facts = [recorded.fact for recorded in house.recorded]
    released = {fact.order_id for fact in facts if isinstance(fact, ReservationReleased)}
    shipped = [fact for fact in facts if isinstance(fact, Shipped)]
    over = [fact.order_id for fact in facts if isinstance(fact, OrderEnded)]
    assert len(over) == len(set(over))
    assert released.isdisjoint(over), "an order was let go and ended before it was confirmed"
    assert released.union(over).isdisjoint(fact.order_id for fact in shipped), "an order was cancelled and shipped"
    issued = sum(fact.quantity for fact in facts if isinstance(fact, StockIssued))
    assert issued == sum(line.quantity for fact in shipped for line in fact.lines)
    heard = [fact.shipment_id for fact in facts if isinstance(fact, ShipmentNoted)]
    assert len(heard) == len(set(heard))
    finals = [fact.order_id for fact in shipped if fact.final]
    assert len(finals) == len(set(finals)), "an order has two final shipments"
