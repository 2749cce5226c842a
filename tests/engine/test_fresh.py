"""What the unit of work hands to the relay: in the order of the ids, and never past a hole."""

from hypothesis import given
from hypothesis import strategies as st

from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.fresh import FACTS_BYTES_MAX, Appended, Fresh, Placed


def appended(after: int, upto: int) -> Appended:
    """A transaction whose facts are all public, with their ids as sequences."""
    public = [Placed(Recorded("jar", n, None, Meta(0)), 0, n) for n in range(after + 1, upto + 1)]
    return Appended(after, upto, public, upto - after)


def ids(taken: tuple[int, list[Placed]] | None) -> list[int] | None:
    """The sequences of what was taken."""
    return None if taken is None else [placed.sequence for placed in taken[1]]


def test_transactions_that_follow_each_other_are_taken_together_up_to_the_limit() -> None:
    fresh = Fresh()
    for after in (0, 2, 4):
        fresh.put(appended(after, after + 2))
    assert ids(fresh.take(0, 4)) == [1, 2, 3, 4]
    assert ids(fresh.take(4, 4)) == [5, 6]
    assert fresh.take(6, 4) is None
    assert len(fresh) == 0


def test_a_transaction_larger_than_the_limit_is_taken_whole() -> None:
    fresh = Fresh()
    fresh.put(appended(0, 9))
    assert ids(fresh.take(0, 4)) == list(range(1, 10))


def test_behind_a_hole_nothing_is_taken() -> None:
    fresh = Fresh()
    fresh.put(appended(3, 5))
    assert fresh.take(0, 10) is None
    assert ids(fresh.take(3, 10)) == [4, 5]


def test_what_was_read_from_the_store_is_forgotten() -> None:
    fresh = Fresh()
    fresh.put(appended(0, 2))
    fresh.put(appended(2, 5))
    fresh.forget(2)
    assert len(fresh) == 1
    assert ids(fresh.take(2, 10)) == [3, 4, 5]


def test_a_relay_that_falls_behind_is_handed_no_more_than_the_limit() -> None:
    fresh = Fresh()
    for after in range(24):
        fresh.put(Appended(after, after + 1, (), FACTS_BYTES_MAX // 8))
    assert len(fresh) == 8
    fresh.take(0, 4)
    fresh.put(Appended(24, 25, (), 1))
    assert len(fresh) == 5


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.integers(1, 5))
def test_in_whatever_order_it_is_put_it_is_taken_in_order_and_never_past_a_hole(
    order: list[int], holes: set[int], facts_max: int
) -> None:
    fresh, said, cursor = Fresh(), list[int](), 0
    for n in order:
        if n not in holes:
            fresh.put(appended(n, n + 1))
        while (taken := fresh.take(cursor, facts_max)) is not None:
            cursor = taken[0]
            said.extend(ids(taken) or ())
    first_hole = min(holes, default=12)
    assert said == list(range(1, first_hole + 1))
