"""One order in the warehouse: every command in every state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.fulfillment.domain.fulfillment import (
    AcceptOrder,
    AuthorizeReturn,
    CancelFulfillment,
    ConcludeAllocation,
    ConfirmDelivery,
    EndOrder,
    NoteShortage,
    ReceiveReturn,
    RecordShipment,
    ReserveBackordered,
    RevokeAllocation,
    fulfillment,
)
from services.fulfillment.domain.fulfillment_state import (
    Backordered,
    CancellationRefused,
    Delivered,
    FulfillmentAccepted,
    LineQuantity,
    NamedLine,
    OrderEnded,
    ReservationReleased,
    ReturnAuthorized,
    ReturnReceived,
    ShipmentNoted,
    ShipmentNotice,
    ShipmentRejected,
    Shipped,
    ShortageNoted,
    StockReserved,
)
from shared.errors import ConflictError, DomainError, NotFoundError
from shared.eventsourced.testing import Scenario

AT = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)
ALL = (LineQuantity(1, "A", 5), LineQuantity(2, "B", 2), LineQuantity(3, "A", 1))
order = Scenario(fulfillment)


def some(*lines: tuple[int, str, int]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(*line) for line in lines)


def accepted(*, ship_complete: bool = False) -> FulfillmentAccepted:
    return FulfillmentAccepted("O-1", "C-1", ALL, ship_complete)


def reserved(*lines: tuple[int, str, int], complete: bool = False) -> StockReserved:
    return StockReserved("O-1", "C-1", some(*lines), complete)


def backordered(*lines: tuple[int, str, int], revoked: bool = False) -> Backordered:
    return Backordered("O-1", "C-1", some(*lines), revoked)


def notice(*lines: tuple[int, int], **more: str) -> ShipmentNotice:
    return ShipmentNotice(tuple(NamedLine(*line) for line in lines), AT, **more)


def ship(*lines: tuple[int, int], shipment_id: str = "S-1") -> RecordShipment:
    return RecordShipment(shipment_id, "O-1", notice(*lines))


def shipped(*lines: tuple[int, str, int], shipment_id: str = "S-1", final: bool, everything: bool = False) -> Shipped:
    return Shipped(shipment_id, "O-1", "C-1", some(*lines), AT, final, everything=everything)


def noted(*lines: tuple[int, int], shipment_id: str = "S-1") -> ShipmentNoted:
    return ShipmentNoted(shipment_id, "O-1", notice(*lines))


def rejected(reason: str, shipment_id: str = "S-1") -> ShipmentRejected:
    return ShipmentRejected(shipment_id, "O-1", reason)


EVERYTHING = StockReserved("O-1", "C-1", ALL, True)
SHIPPED = Shipped("S-1", "O-1", "C-1", ALL, AT, final=True, everything=True)
RELEASED = ReservationReleased("O-1", "C-1", "changed mind", ("A", "B"))
CANCEL = CancelFulfillment("O-1", "C-1", "changed mind")
END, ENDED = EndOrder("O-1", "C-1"), OrderEnded("O-1", "C-1")
ACCEPT = AcceptOrder("O-1", "C-1", ALL, False)

asking = order.given(accepted())
complete = asking.given(EVERYTHING)
short = asking.given(reserved((1, "A", 4), (2, "B", 2)), backordered((1, "A", 1), (3, "A", 1)))
gone = complete.given(SHIPPED)
cancelled = complete.given(RELEASED)
ended = order.given(ENDED)


class TestReserving:
    def test_a_confirmed_order_is_accepted(self) -> None:
        order.when(ACCEPT).then(accepted())

    def test_an_order_with_all_its_stock_is_reserved_with_one_fact(self) -> None:
        asking.when(ConcludeAllocation("B", 0)).then(EVERYTHING)

    def test_shortages_of_all_stocks_are_reported_at_once_and_the_first_lines_are_served_first(self) -> None:
        asking.given(ShortageNoted("A", 3)).when(ConcludeAllocation("B", 1)).then(
            reserved((1, "A", 3), (2, "B", 1)), backordered((1, "A", 2), (2, "B", 1), (3, "A", 1))
        )

    def test_with_nothing_there_everything_is_backordered(self) -> None:
        asking.given(ShortageNoted("A", 6)).when(ConcludeAllocation("B", 2)).then(
            backordered((1, "A", 5), (2, "B", 2), (3, "A", 1))
        )

    def test_stock_that_came_completes_the_order(self) -> None:
        short.when(ReserveBackordered("A", 2)).then(reserved((1, "A", 1), (3, "A", 1), complete=True))

    def test_stock_that_came_for_a_part_leaves_the_rest_waiting(self) -> None:
        short.when(ReserveBackordered("A", 1)).then(reserved((1, "A", 1), complete=False))

    def test_a_missing_count_takes_from_the_last_lines(self) -> None:
        complete.when(RevokeAllocation("A", 2)).then(backordered((1, "A", 1), (3, "A", 1), revoked=True))

    def test_what_was_revoked_can_come_again(self) -> None:
        complete.given(backordered((1, "A", 1), (3, "A", 1), revoked=True)).when(ReserveBackordered("A", 2)).then(
            reserved((1, "A", 1), (3, "A", 1), complete=True)
        )


class TestShipping:
    def test_everything_that_is_reserved_ships(self) -> None:
        complete.when(ship()).then(SHIPPED)

    def test_named_quantities_ship_and_the_rest_stays_reserved(self) -> None:
        partly = complete.when(ship((1, 4)))
        partly.then(shipped((1, "A", 4), final=False))
        partly.when(ship(shipment_id="S-2")).then(
            shipped((1, "A", 1), (2, "B", 2), (3, "A", 1), shipment_id="S-2", final=True, everything=True)
        )

    def test_lines_without_stock_wait(self) -> None:
        short.when(ship()).then(shipped((1, "A", 4), (2, "B", 2), final=False, everything=True))

    def test_naming_more_than_is_reserved_waits_for_all_of_it(self) -> None:
        waiting = short.when(ship((1, 5)))
        waiting.then(noted((1, 5)))
        waiting.when(ReserveBackordered("A", 1)).then(
            reserved((1, "A", 1), complete=False), shipped((1, "A", 5), final=False)
        )

    def test_a_shipment_before_the_order_waits_for_it(self) -> None:
        waiting = order.when(ship())
        waiting.then(noted())
        waiting.when(ACCEPT).when(ConcludeAllocation("B", 0)).then(EVERYTHING, SHIPPED)

    def test_a_shipment_before_any_stock_waits_for_the_first(self) -> None:
        nothing = asking.given(backordered((1, "A", 5), (2, "B", 2), (3, "A", 1)))
        nothing.when(ship()).then(noted())
        nothing.when(ship()).when(ReserveBackordered("B", 2)).then(
            reserved((2, "B", 2)), shipped((2, "B", 2), final=False, everything=True)
        )

    def test_shipments_that_wait_are_carried_out_in_the_order_they_were_heard(self) -> None:
        order.given(noted((1, 3)), noted(shipment_id="S-2"), accepted()).when(ConcludeAllocation("B", 0)).then(
            EVERYTHING,
            shipped((1, "A", 3), final=False),
            shipped((1, "A", 2), (2, "B", 2), (3, "A", 1), shipment_id="S-2", final=True, everything=True),
        )

    def test_a_waiting_shipment_that_can_never_be_is_rejected_and_stops_no_other(self) -> None:
        heard = order.given(noted((1, 6)), noted((9, 1), shipment_id="S-2"), noted(shipment_id="S-3"), accepted())
        heard.when(ConcludeAllocation("B", 0)).then(
            EVERYTHING,
            rejected("over_shipped"),
            rejected("unknown_line", "S-2"),
            Shipped("S-3", "O-1", "C-1", ALL, AT, final=True, everything=True),
        )

    def test_a_second_shipment_of_everything_that_waited_is_rejected_when_nothing_is_left(self) -> None:
        order.given(noted(), noted(shipment_id="S-2"), accepted()).when(ConcludeAllocation("B", 0)).then(
            EVERYTHING, SHIPPED, rejected("nothing_to_ship", "S-2")
        )

    def test_what_a_waiting_shipment_has_named_is_not_shipped_by_another(self) -> None:
        waiting = short.given(noted((1, 5)))
        waiting.when(ship(shipment_id="S-2")).then(
            shipped((2, "B", 2), shipment_id="S-2", final=False, everything=True)
        )
        waiting.when(ship((1, 1), shipment_id="S-2")).then_refuses(DomainError, "over_shipped")

    def test_more_than_was_ordered_is_refused(self) -> None:
        complete.when(ship((2, 3))).then_refuses(DomainError, "over_shipped")
        complete.given(shipped((2, "B", 1), final=False)).when(ship((2, 2), shipment_id="S-2")).then_refuses(
            DomainError, "over_shipped"
        )

    def test_a_line_that_was_not_ordered_is_refused(self) -> None:
        complete.when(ship((4, 1))).then_refuses(DomainError, "unknown_line")

    def test_another_shipment_of_everything_is_refused_when_nothing_is_left(self) -> None:
        gone.when(ship(shipment_id="S-2")).then_refuses(DomainError, "nothing_to_ship")


class TestShipComplete:
    whole = order.given(accepted(ship_complete=True))

    def test_nothing_ships_before_all_is_reserved(self) -> None:
        waiting = self.whole.given(reserved((1, "A", 5), (3, "A", 1)), backordered((2, "B", 2))).when(ship())
        waiting.then(noted())
        waiting.when(ReserveBackordered("B", 2)).then(reserved((2, "B", 2), complete=True), SHIPPED)

    def test_named_quantities_wait_too(self) -> None:
        part = self.whole.given(reserved((1, "A", 5), (3, "A", 1)), backordered((2, "B", 2)))
        part.when(ship((1, 1))).then(noted((1, 1)))
        part.when(ship((1, 1))).when(ReserveBackordered("B", 1)).then(reserved((2, "B", 1)))

    def test_it_ships_once_all_is_reserved(self) -> None:
        self.whole.given(EVERYTHING).when(ship()).then(SHIPPED)


class TestRepeatedShipments:
    @pytest.mark.parametrize(
        ("past", "command"),
        [
            ([noted()], ship()),
            ([noted((1, 3))], ship((1, 3))),
            ([accepted(), EVERYTHING, SHIPPED], ship()),
            ([accepted(), EVERYTHING, shipped((1, "A", 3), final=False)], ship((1, 3))),
            ([noted(), accepted(), EVERYTHING, SHIPPED], ship()),
            ([noted((9, 1)), accepted(), EVERYTHING, rejected("unknown_line")], ship((9, 1))),
        ],
    )
    def test_the_same_content_changes_nothing_and_other_content_is_a_conflict(self, past: Any, command: Any) -> None:
        known = order.given(*past)
        known.when(command).then_nothing()
        known.when(ship((1, 1))).then_refuses(ConflictError, "conflict")
        for other in (
            ShipmentNotice(command.notice.lines, AT + timedelta(seconds=1)),
            ShipmentNotice(command.notice.lines, AT, carrier="DHL"),
            ShipmentNotice(command.notice.lines, AT, tracking="1Z"),
        ):
            known.when(RecordShipment("S-1", "O-1", other)).then_refuses(ConflictError, "conflict")

    def test_naming_all_lines_is_not_the_same_as_naming_none(self) -> None:
        gone.when(ship((1, 5), (2, 2), (3, 1))).then_refuses(ConflictError, "conflict")


class TestCancelling:
    def test_before_shipping_everything_is_released(self) -> None:
        complete.when(CANCEL).then(RELEASED)
        short.when(CANCEL).then(RELEASED)
        asking.when(CANCEL).then(RELEASED)

    def test_after_shipping_it_is_refused(self) -> None:
        gone.when(CANCEL).then(CancellationRefused("O-1", "C-1", "shipped"))
        part = complete.given(shipped((1, "A", 1), final=False))
        part.when(CANCEL).then(CancellationRefused("O-1", "C-1", "shipped"))

    def test_while_a_shipment_waits_it_is_refused(self) -> None:
        refused = CancellationRefused("O-1", "C-1", "shipment_waiting")
        order.given(noted()).when(CANCEL).then(refused)
        short.given(noted((1, 5))).when(CANCEL).then(refused)

    def test_an_order_refused_to_be_cancelled_goes_on(self) -> None:
        order.given(noted(), CancellationRefused("O-1", "C-1", "shipment_waiting")).when(ACCEPT).then(accepted())

    def test_every_request_is_answered(self) -> None:
        refused = CancellationRefused("O-1", "C-1", "shipped")
        gone.given(refused).when(CANCEL).then(refused)

    def test_before_the_order_is_known_it_is_remembered(self) -> None:
        remembered = order.when(CANCEL)
        remembered.then(ReservationReleased("O-1", "C-1", "changed mind", ()))
        remembered.when(ACCEPT).then_nothing()

    def test_a_rejected_shipment_does_not_stand_in_the_way(self) -> None:
        complete.given(noted((9, 1)), rejected("unknown_line")).when(CANCEL).then(RELEASED)


class TestEnding:
    """Orders that are cancelled or rejected before they were confirmed."""

    def test_its_end_is_noted_and_later_shipments_are_refused(self) -> None:
        order.when(END).then(ENDED)
        assert ended.state().status == "cancelled"
        ended.when(ship()).then_refuses(DomainError, "order_cancelled")

    def test_shipments_that_wait_are_rejected_with_it(self) -> None:
        waiting = order.given(noted(), noted((1, 2), shipment_id="S-2"))
        rejections = rejected("order_cancelled"), rejected("order_cancelled", "S-2")
        waiting.when(END).then(ENDED, *rejections)
        state = waiting.when(END).state()
        assert (state.waiting, {each.status for each in state.shipments.values()}) == ((), {"rejected"})
        assert {each.reason for each in state.shipments.values()} == {"order_cancelled"}
        waiting.when(END).when(ship()).then_nothing()

    def test_an_order_that_was_let_go_ends_without_another_word(self) -> None:
        complete.when(CANCEL).when(END).then_nothing()
        order.when(CANCEL).when(END).then_nothing()

    def test_its_end_is_noted_once_and_nothing_is_reserved_afterwards(self) -> None:
        ended.when(END).then_nothing()
        ended.when(ACCEPT).then_nothing()
        ended.when(CANCEL).then_nothing()


class TestDelivery:
    DELIVERED = Delivered("S-1", "O-1", "C-1", AT)

    def test_a_shipment_arrives_once(self) -> None:
        arrived = gone.when(ConfirmDelivery("S-1", "O-1", AT))
        arrived.then(self.DELIVERED)
        arrived.when(ConfirmDelivery("S-1", "O-1", AT)).then_nothing()

    def test_at_another_instant_is_a_conflict(self) -> None:
        gone.given(self.DELIVERED).when(ConfirmDelivery("S-1", "O-1", AT + timedelta(hours=1))).then_refuses(
            ConflictError, "conflict"
        )

    def test_an_unknown_shipment_is_not_found(self) -> None:
        gone.when(ConfirmDelivery("S-2", "O-1", AT)).then_refuses(NotFoundError)

    def test_a_shipment_that_waits_has_not_arrived(self) -> None:
        order.given(noted()).when(ConfirmDelivery("S-1", "O-1", AT)).then_refuses(DomainError, "not_shipped")

    def test_a_delivered_shipment_said_again_is_still_the_same_shipment(self) -> None:
        gone.given(self.DELIVERED).when(ship()).then_nothing()


def authorize(*lines: tuple[int, int], return_id: str = "RT-1", reason: str = "") -> AuthorizeReturn:
    return AuthorizeReturn(return_id, "O-1", tuple(NamedLine(*line) for line in lines), reason)


def authorized(*lines: tuple[int, str, int], return_id: str = "RT-1") -> ReturnAuthorized:
    return ReturnAuthorized(return_id, "O-1", "C-1", some(*lines), "")


def receive(*lines: tuple[int, int], restocked: bool = True, at: datetime = AT) -> ReceiveReturn:
    return ReceiveReturn("RT-1", "O-1", tuple(NamedLine(*line) for line in lines), at, restocked)


def came(*lines: tuple[int, str, int], restocked: bool = True) -> ReturnReceived:
    return ReturnReceived("RT-1", "O-1", "C-1", some(*lines), AT, restocked)


class TestReturns:
    def test_what_was_shipped_may_come_back(self) -> None:
        gone.when(authorize((1, 5), (2, 1))).then(authorized((1, "A", 5), (2, "B", 1)))

    def test_only_what_was_shipped_and_not_yet_returned_may_come_back(self) -> None:
        complete.when(authorize((1, 1))).then_refuses(DomainError, "over_returned")
        gone.when(authorize((1, 6))).then_refuses(DomainError, "over_returned")
        again = gone.given(authorized((1, "A", 4)))
        again.when(authorize((1, 2), return_id="RT-2")).then_refuses(DomainError, "over_returned")
        again.when(authorize((1, 1), return_id="RT-2")).then(authorized((1, "A", 1), return_id="RT-2"))

    def test_a_line_that_was_not_ordered_cannot_come_back(self) -> None:
        gone.when(authorize((4, 1))).then_refuses(DomainError, "unknown_line")

    def test_nothing_comes_back_of_an_unknown_order(self) -> None:
        order.when(authorize((1, 1))).then_refuses(NotFoundError)
        order.given(noted()).when(authorize((1, 1))).then_refuses(NotFoundError)

    def test_authorizing_again_changes_nothing_and_other_content_is_a_conflict(self) -> None:
        known = gone.given(authorized((1, "A", 4)))
        known.when(authorize((1, 4))).then_nothing()
        known.when(authorize((1, 3))).then_refuses(ConflictError, "conflict")
        known.when(authorize((1, 4), reason="broken")).then_refuses(ConflictError, "conflict")

    def test_everything_that_was_authorized_comes_back(self) -> None:
        known = gone.given(authorized((1, "A", 4), (2, "B", 1)))
        known.when(receive()).then(came((1, "A", 4), (2, "B", 1)))
        known.when(receive(restocked=False)).then(came((1, "A", 4), (2, "B", 1), restocked=False))

    def test_what_did_not_come_may_be_authorized_again(self) -> None:
        part = gone.given(authorized((1, "A", 4), (2, "B", 1))).when(receive((1, 3)))
        part.then(came((1, "A", 3)))
        part.when(authorize((1, 2), (2, 2), return_id="RT-2")).then(
            authorized((1, "A", 2), (2, "B", 2), return_id="RT-2")
        )
        part.when(authorize((1, 3), return_id="RT-2")).then_refuses(DomainError, "over_returned")

    def test_more_than_was_authorized_is_refused(self) -> None:
        known = gone.given(authorized((1, "A", 4)))
        known.when(receive((1, 5))).then_refuses(DomainError, "over_returned")
        known.when(receive((2, 1))).then_refuses(DomainError, "over_returned")

    def test_receiving_again_changes_nothing_and_other_content_is_a_conflict(self) -> None:
        known = gone.given(authorized((1, "A", 4)), came((1, "A", 4)))
        known.when(receive()).then_nothing()
        known.when(receive((1, 4))).then_nothing()
        known.when(receive((1, 3))).then_refuses(ConflictError, "conflict")
        known.when(receive(restocked=False)).then_refuses(ConflictError, "conflict")
        known.when(receive(at=AT + timedelta(days=1))).then_refuses(ConflictError, "conflict")

    def test_an_unknown_return_is_not_found(self) -> None:
        gone.when(receive()).then_refuses(NotFoundError)


STATES = {
    "unknown": order,
    "asking": asking,
    "short": short,
    "complete": complete,
    "gone": gone,
    "cancelled": cancelled,
    "ended": ended,
}
ANSWERS = {
    ACCEPT: {"unknown": "FulfillmentAccepted"},
    NoteShortage("A", 1): {"asking": "ShortageNoted"},
    ConcludeAllocation("B", 1): {"asking": "StockReserved Backordered"},
    ReserveBackordered("A", 1): {"short": "StockReserved"},
    RevokeAllocation("A", 1): {"short": "Backordered", "complete": "Backordered"},
    CANCEL: {
        "unknown": "ReservationReleased",
        "asking": "ReservationReleased",
        "short": "ReservationReleased",
        "complete": "ReservationReleased",
        "gone": "CancellationRefused",
    },
    END: {"unknown": "OrderEnded"},
    ship((1, 1), shipment_id="S-9"): {
        "unknown": "ShipmentNoted",
        "asking": "ShipmentNoted",
        "short": "Shipped",
        "complete": "Shipped",
        "gone": "over_shipped",
        "cancelled": "order_cancelled",
        "ended": "order_cancelled",
    },
    ConfirmDelivery("S-1", "O-1", AT): dict.fromkeys(STATES, "not_found") | {"gone": "Delivered"},
    authorize((1, 1)): {
        "unknown": "not_found",
        "asking": "over_returned",
        "short": "over_returned",
        "complete": "over_returned",
        "gone": "ReturnAuthorized",
        "cancelled": "over_returned",
        "ended": "not_found",
    },
    receive(): dict.fromkeys(STATES, "not_found"),
}
BROKEN_PROMISES = {(ReserveBackordered, "complete"), (ReserveBackordered, "gone"), (RevokeAllocation, "gone")}
"""A stock that gives more than is waited for, or takes more than is held, is a bug and not a race."""


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("command", ANSWERS, ids=lambda command: type(command).__name__)
def test_every_command_in_every_state(command: Any, name: str) -> None:
    started = STATES[name].when(command)
    if (type(command), name) in BROKEN_PROMISES:
        started.then_refuses(AssertionError)
        return
    try:
        answer = " ".join(type(fact).__name__ for fact in started.facts())
    except DomainError as error:
        answer = error.code
    assert answer == ANSWERS[command].get(name, "")


def test_the_table_has_every_command() -> None:
    from services.fulfillment.domain import fulfillment as module
    from shared.eventsourced.facts import Command

    declared = {kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Command)}
    assert {type(command) for command in ANSWERS} == declared - {Command}


@pytest.mark.parametrize(
    ("past", "status"),
    [
        (order.given(noted()), "waiting"),
        (short, "backordered"),
        (complete, "reserved"),
        (complete.given(shipped((1, "A", 1), final=False)), "reserved"),
        (gone, "shipped"),
        (cancelled, "cancelled"),
    ],
)
def test_the_status_says_how_far_the_order_has_come(past: Scenario, status: str) -> None:
    assert past.state().status == status
