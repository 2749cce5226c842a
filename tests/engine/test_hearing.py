"""What was heard becomes works exactly once and in order, whatever Kafka repeats, drops or mixes up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalogue import contracts
from shared.contracts.inbound import Order
from shared.contracts.orders import OrderPlaced
from shared.eventsourced.decider import To
from shared.eventsourced.hearing import Heard, Translator, sift
from shared.eventsourced.policy import Heard as Envelope
from shared.eventsourced.projecting import Column, MessageProjection, Table
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.reading import Decoders, read
from tests.engine.records import INBOUND, SPEAKERS, Record, body_of, headers_of, order_record, placed
from tests.engine.toy import AddCoins, jar, on_order_placed

HEARS = {OrderPlaced: on_order_placed}
TRANSLATOR = Translator(HEARS, (), Decoders(contracts(), HEARS))
CUSTOMERS = ("C-1", "C-2", "C-3")
LANES = {customer: ("order", lane_of(customer)) for customer in CUSTOMERS}


def hear(records: list[Record], **positions: int) -> Heard:
    """Sift records; positions by customer, 0 where none is given (`C_1=3`)."""
    start = {lane: positions.get(customer.replace("-", "_"), 0) for customer, lane in LANES.items()}
    return sift([read(record, SPEAKERS, 10_000) for record in records], start, TRANSLATOR)


def taken(heard: Heard) -> list[str]:
    return [work.commands[0].command.order_id for work in heard.works]


def test_the_three_customers_have_lanes_of_their_own() -> None:
    assert len(set(LANES.values())) == 3


def test_the_next_messages_are_taken_and_move_the_position() -> None:
    heard = hear([order_record(4), order_record(5), order_record(1, "C-2")], C_1=3)
    assert taken(heard) == ["O-C-1-4", "O-C-1-5", "O-C-2-1"]
    assert heard.moves == {LANES["C-1"]: (3, 5), LANES["C-2"]: (0, 1)}
    assert (heard.duplicates, heard.gaps) == (0, {})


def test_what_was_heard_before_falls_out() -> None:
    heard = hear([order_record(3), order_record(4), order_record(4)], C_1=3)
    assert taken(heard) == ["O-C-1-4"]
    assert heard.duplicates == 2


def test_behind_a_hole_nothing_of_that_lane_is_taken_and_other_lanes_go_on() -> None:
    heard = hear([order_record(1), order_record(3), order_record(4), order_record(1, "C-2")])
    assert taken(heard) == ["O-C-1-1", "O-C-2-1"]
    assert heard.gaps == {LANES["C-1"]: 4}
    assert heard.moves[LANES["C-1"]] == (0, 1)


def test_a_message_that_nobody_here_hears_moves_the_position_and_asks_for_nothing() -> None:
    held = Record(b"{}", headers_of("order-1@2", LANES["C-1"][1], 1, "o2c.order.OrderHeld.v1"))
    heard = hear([held])
    assert heard.works == []
    assert heard.moves == {LANES["C-1"]: (0, 1)}


def test_poison_takes_its_place_in_the_lane_as_a_work_with_its_reason() -> None:
    heard = hear([Record(b"no json", headers_of("order-1@1", LANES["C-1"][1], 1)), order_record(2)])
    assert [work.poison is None for work in heard.works] == [False, True]
    assert heard.works[0].stream == "order-1"
    assert heard.works[0].letter is not None
    assert heard.works[0].letter().body == b"no json"


def test_a_policy_that_fails_makes_poison_of_its_message_only() -> None:
    def clumsy(message: OrderPlaced, _: Envelope) -> list[To[AddCoins]]:
        return [To(jar, message.customer_id, AddCoins("C", "O", 100 // (message.total_minor - 1)))]

    translator = Translator({OrderPlaced: clumsy}, (), Decoders(contracts(), HEARS))
    records = [order_record(1, total_minor=1), order_record(2)]
    works = sift([read(r, SPEAKERS, 10_000) for r in records], {LANES["C-1"]: 0}, translator).works
    assert isinstance(works[0].poison, ZeroDivisionError)
    assert works[1].poison is None


def test_inbound_messages_have_no_position_and_are_never_duplicates_here() -> None:
    record = Record(b"?", headers_of("i", 0, 1), INBOUND)
    heard = hear([record, record])
    assert (len(heard.works), heard.moves, heard.duplicates) == (2, {}, 0)


def test_a_work_continues_the_trace_and_the_order_of_its_message() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    record = order_record(1)
    record.headers += (("traceparent", trace.encode()), ("ce_subject", b"O-9"))
    (work,) = hear([record]).works
    assert (work.corr, work.cause) == ("O-9", "order-O-C-1-1@1")
    assert work.trace.startswith(f"00-{'a' * 32}-")
    assert work.trace != trace


def test_without_a_subject_a_work_belongs_to_the_order_that_the_message_names() -> None:
    (work,) = hear([order_record(1)]).works
    assert (work.corr, work.cause) == ("O-C-1-1", "order-O-C-1-1@1")


def test_rows_of_message_projections_follow_from_the_message() -> None:
    table = Table("orders", (Column("order_id", "text"),), (Column("total", "bigint"),))
    projection = MessageProjection(table, {OrderPlaced: lambda m, _: [(m.order_id, m.total_minor)]})
    translator = Translator(HEARS, (projection,), Decoders(contracts(), HEARS))
    received = read(order_record(1), SPEAKERS, 10_000)
    work = translator.work(received)
    assert work is not None
    assert work.rows == [(table, ("O-C-1-1", 100))]


def test_no_rows_follow_from_what_may_be_said_for_ever() -> None:
    table = Table("orders", (Column("order_id", "text"),), (Column("times", "bigint", "add"),))
    projection = MessageProjection(table, {Order: lambda m, _: [(m.order_id, 1)]})
    with pytest.raises(ValueError, match="Order may be repeated for ever"):
        Translator(HEARS, (projection,), Decoders(contracts(), HEARS))


journeys = st.lists(
    st.tuples(st.sampled_from(CUSTOMERS), st.integers(1, 6), st.booleans()),  # customer, sequence, ends a batch
    max_size=80,
)


@given(journeys)
def test_any_redelivery_loss_and_mixing_followed_by_a_resend_ends_in_every_message_once_in_order(
    journey: list[tuple[str, int, bool]],
) -> None:
    positions = dict.fromkeys(LANES.values(), 0)
    heard_of: dict[str, list[str]] = {customer: [] for customer in CUSTOMERS}

    def deliver(records: list[Record]) -> None:
        heard = sift([read(record, SPEAKERS, 10_000) for record in records], positions, TRANSLATOR)
        for work in heard.works:
            heard_of[work.commands[0].key].append(work.commands[0].command.order_id)
        for lane, (before, after) in heard.moves.items():
            assert positions[lane] == before
            positions[lane] = after

    batch: list[Record] = []
    for customer, sequence, ends in journey:
        batch.append(order_record(sequence, customer))
        if ends:
            deliver(batch)
            batch = []
    deliver(batch)
    deliver([order_record(n, customer) for n in range(1, 7) for customer in CUSTOMERS])
    for customer in CUSTOMERS:
        assert heard_of[customer] == [f"O-{customer}-{n}" for n in range(1, 7)]


def test_a_lane_whose_position_is_not_known_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(KeyError):
        sift([read(order_record(1), SPEAKERS, 10_000)], {("credit", 0): 0}, TRANSLATOR)


def test_one_message_asks_for_the_same_work_however_often_it_is_translated() -> None:
    received = read(Record(body_of(placed()), headers_of("order-O-1@1", 0, 1)), SPEAKERS, 10_000)
    first, second = TRANSLATOR.work(received), TRANSLATOR.work(received)
    assert first is not None
    assert second is not None
    assert (first.commands, first.cause, first.stream) == (second.commands, second.cause, second.stream)
