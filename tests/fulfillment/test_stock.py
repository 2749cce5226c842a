"""Stock is promised first come first served, and never twice."""

import gc
import sys
from typing import Any

import pytest

from services.fulfillment.domain.stock import (
    FILLS_MAX,
    FOLLOW_UPS_MAX,
    AdjustStock,
    AllocateStock,
    AllocationsRevoked,
    BackordersFilled,
    FillBackorders,
    IssueStock,
    OrderQuantity,
    ReceiveStock,
    ReleaseStock,
    Restock,
    Stock,
    StockAdjusted,
    StockAllocated,
    StockIssued,
    StockReceived,
    StockReleased,
    StockRestocked,
    stock,
)
from shared.errors import DomainError
from shared.eventsourced.mapper import decode_state, encode_state
from shared.eventsourced.testing import Scenario

SKU = "85123A"
shelf = Scenario(stock)


def received(quantity: int, receipt_id: str = "R-1") -> StockReceived:
    return StockReceived(SKU, quantity, receipt_id)


def allocate(order_id: str, quantity: int) -> AllocateStock:
    return AllocateStock(SKU, order_id, quantity, last=False)


def allocated(order_id: str, quantity: int, backordered: int = 0) -> StockAllocated:
    return StockAllocated(SKU, order_id, quantity, backordered, last=False)


def filled(*fills: tuple[str, int], follow_ups: int = 0) -> BackordersFilled:
    return BackordersFilled(SKU, tuple(OrderQuantity(o, q) for o, q in fills), follow_ups)


def revoked(*losses: tuple[str, int]) -> AllocationsRevoked:
    return AllocationsRevoked(SKU, tuple(OrderQuantity(o, q) for o, q in losses))


def adjust(delta: int) -> AdjustStock:
    return AdjustStock(SKU, delta, "count", "A-1")


def adjusted(delta: int) -> StockAdjusted:
    return StockAdjusted(SKU, delta, "count", "A-1")


class TestAllocating:
    def test_an_order_gets_what_is_free(self) -> None:
        shelf.given(received(10)).when(allocate("O-1", 10)).then(allocated("O-1", 10))

    def test_what_is_short_waits(self) -> None:
        shelf.given(received(10)).when(allocate("O-1", 11)).then(allocated("O-1", 10, 1))

    def test_everything_waits_when_nothing_is_there(self) -> None:
        shelf.when(allocate("O-1", 1)).then(allocated("O-1", 0, 1))

    def test_what_another_order_holds_is_not_free(self) -> None:
        shelf.given(received(10), allocated("O-1", 7)).when(allocate("O-2", 5)).then(allocated("O-2", 3, 2))

    def test_the_last_of_all_products_says_so(self) -> None:
        shelf.given(received(1)).when(AllocateStock(SKU, "O-1", 1, last=True)).then(
            StockAllocated(SKU, "O-1", 1, 0, last=True)
        )

    def test_a_later_order_does_not_overtake_waiting_ones_that_a_bounded_fill_left(self) -> None:
        shelf.given(allocated("O-1", 0, 4), allocated("O-2", 0, 4), received(10)).when(allocate("O-3", 5)).then(
            filled(("O-1", 4), ("O-2", 4)), allocated("O-3", 2, 3)
        )


class TestFilling:
    def test_received_goods_go_to_the_oldest_first(self) -> None:
        shelf.given(allocated("O-1", 0, 4), allocated("O-2", 0, 4)).when(ReceiveStock(SKU, 6, "R-1")).then(
            received(6), filled(("O-1", 4), ("O-2", 2))
        )

    def test_an_order_that_got_a_part_stays_first(self) -> None:
        waiting = shelf.given(allocated("O-1", 0, 4), allocated("O-2", 0, 4), received(2), filled(("O-1", 2)))
        waiting.when(ReceiveStock(SKU, 3, "R-2")).then(received(3, "R-2"), filled(("O-1", 2), ("O-2", 1)))

    def test_without_waiting_orders_goods_are_free(self) -> None:
        shelf.when(ReceiveStock(SKU, 6, "R-1")).then(received(6))
        assert shelf.given(received(6)).state().free == 6

    def test_a_count_that_found_more_fills(self) -> None:
        shelf.given(allocated("O-1", 0, 4)).when(adjust(3)).then(adjusted(3), filled(("O-1", 3)))

    def test_returned_goods_fill(self) -> None:
        shelf.given(allocated("O-2", 0, 4)).when(Restock(SKU, 1, "O-1", "RT-1")).then(
            StockRestocked(SKU, 1, "O-1", "RT-1"), filled(("O-2", 1))
        )

    def test_released_stock_fills(self) -> None:
        shelf.given(received(5), allocated("O-1", 5), allocated("O-2", 0, 3)).when(ReleaseStock(SKU, "O-1")).then(
            StockReleased(SKU, "O-1", 5, 0), filled(("O-2", 3))
        )

    def test_one_command_fills_only_so_many_and_says_that_more_shall_follow(self) -> None:
        waiting = [allocated(f"O-{i}", 0, 1) for i in range(FILLS_MAX + 1)]
        facts = shelf.given(*waiting).when(ReceiveStock(SKU, FILLS_MAX + 5, "R-1")).facts()
        assert len(facts[1].fills) == FILLS_MAX
        assert facts[1].follow_ups == FOLLOW_UPS_MAX
        left = shelf.given(*waiting, *facts)
        left.when(FillBackorders(SKU, 3)).then(filled((f"O-{FILLS_MAX}", 1)))

    def test_no_follow_up_is_asked_for_when_stock_or_orders_are_used_up(self) -> None:
        waiting = [allocated(f"O-{i}", 0, 1) for i in range(FILLS_MAX + 1)]
        exactly = shelf.given(*waiting).when(ReceiveStock(SKU, FILLS_MAX, "R-1")).facts()
        assert exactly[1].follow_ups == 0

    def test_filling_with_nothing_to_fill_changes_nothing(self) -> None:
        shelf.when(FillBackorders(SKU)).then_nothing()
        shelf.given(received(5)).when(FillBackorders(SKU)).then_nothing()
        shelf.given(allocated("O-1", 0, 5)).when(FillBackorders(SKU)).then_nothing()


class TestCounting:
    def test_a_count_below_what_is_reserved_takes_from_the_youngest(self) -> None:
        held = shelf.given(received(9), allocated("O-1", 3), allocated("O-2", 3), allocated("O-3", 3))
        held.when(adjust(-4)).then(adjusted(-4), revoked(("O-3", 3), ("O-2", 1)))

    def test_what_is_free_is_missed_first(self) -> None:
        shelf.given(received(9), allocated("O-1", 3)).when(adjust(-6)).then(adjusted(-6))

    def test_who_lost_stock_waits_before_all_others(self) -> None:
        lost = shelf.given(
            received(6), allocated("O-1", 3), allocated("O-2", 3), allocated("O-3", 0, 2), adjusted(-4)
        ).given(revoked(("O-2", 3), ("O-1", 1)))
        lost.when(ReceiveStock(SKU, 5, "R-2")).then(received(5, "R-2"), filled(("O-1", 1), ("O-2", 3), ("O-3", 1)))

    def test_who_holds_a_part_and_loses_it_waits_for_all_of_it(self) -> None:
        lost = shelf.given(received(2), allocated("O-1", 2, 3), adjusted(-2), revoked(("O-1", 2)))
        lost.when(ReceiveStock(SKU, 9, "R-2")).then(received(9, "R-2"), filled(("O-1", 5)))

    def test_less_than_nothing_is_refused(self) -> None:
        shelf.given(received(3)).when(adjust(-4)).then_refuses(DomainError, "below_zero")
        shelf.given(received(3)).when(adjust(-3)).then(adjusted(-3))


class TestLeaving:
    def test_shipped_stock_leaves_on_hand_and_reserved_together(self) -> None:
        shipped = shelf.given(received(9), allocated("O-1", 3)).when(IssueStock(SKU, "O-1", 2))
        shipped.then(StockIssued(SKU, "O-1", 2))
        state: Stock = shipped.state()
        assert (state.on_hand, state.reserved, state.free) == (7, 1, 6)

    def test_a_release_takes_what_is_held_and_what_is_waited_for(self) -> None:
        released = shelf.given(received(2), allocated("O-1", 2, 3)).when(ReleaseStock(SKU, "O-1"))
        released.then(StockReleased(SKU, "O-1", 2, 3))
        state: Stock = released.state()
        assert (state.on_hand, state.reserved, state.backordered) == (2, 0, 0)

    def test_a_second_release_changes_nothing(self) -> None:
        shelf.given(received(2), allocated("O-1", 2), StockReleased(SKU, "O-1", 2, 0)).when(
            ReleaseStock(SKU, "O-1")
        ).then_nothing()


def test_a_snapshot_is_the_same_state() -> None:
    state = shelf.given(received(9), allocated("O-1", 3), allocated("O-2", 6, 4), allocated("O-3", 0, 4)).state()
    assert decode_state(Stock, encode_state(state)) == state


COMMANDS = (
    IssueStock(SKU, "O-5", 1),
    ReleaseStock(SKU, "O-6"),
    allocate("Y", 1),
    adjust(-1),
    ReceiveStock(SKU, 1, "R"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_costs_the_same_with_many_open_orders(command: Any) -> None:
    few, many = (
        shelf.given(
            received(n), *[allocated(f"O-{i}", 1) for i in range(n)], *[allocated(f"W-{i}", 0, 1) for i in range(n)]
        ).state()
        for n in (10, 2_000)
    )
    assert _lines_executed(few, command) == _lines_executed(many, command)


def _lines_executed(state: Stock, command: Any) -> int:
    """How many lines deciding and evolving run through: a scan shows, whatever the machine does."""
    lines = 0

    def count(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    gc.disable()  # whoever wants to hear of collections (hypothesis does) runs lines, too
    sys.settrace(count)
    try:
        stock.fold(stock.decide(state, command), state)
    finally:
        sys.settrace(before)
        gc.enable()
    return lines
