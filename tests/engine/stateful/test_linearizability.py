"""The checker of histories is right: it accepts what could have been, and finds what could not."""

from itertools import permutations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.stateful.linearizability import Content, Operation, broken_streams, linearizable
from tests.support.examples import examples


def append(
    began: float, ended: float, value: str, answer: int | None, expected: int | None = None, stream: str = "s"
) -> Operation:
    return Operation(stream, began, ended, value, expected, answer)


def lost(began: float, value: str, expected: int | None = None) -> Operation:
    return Operation("s", began, inf, value, expected)


def read(began: float, ended: float, *values: str, stream: str = "s") -> Operation:
    return Operation(stream, began, ended, answer=values)


GOOD = {
    "nothing happened": [],
    "one after the other": [append(0, 1, "a", 1), read(2, 3, "a"), append(4, 5, "b", 2, 1), read(6, 7, "a", "b")],
    "a read beside an append sees it": [append(0, 9, "a", 1), read(1, 2, "a"), read(3, 4, "a")],
    "a read beside an append does not see it yet": [append(0, 9, "a", 1), read(1, 2), read(3, 4, "a")],
    "of two with one version the later began first": [append(0, 9, "a", None, 0), append(1, 8, "b", 1, 0)],
    "refused, since the other was first": [append(0, 3, "a", 1, 0), append(1, 2, "b", None, 0), read(4, 5, "a")],
    "lost, and it happened": [lost(0, "a"), read(5, 6, "a")],
    "lost, and it never happened": [lost(0, "a"), read(5, 6), append(7, 8, "b", 1, 0)],
    "lost, and it happened much later": [lost(0, "a"), read(5, 6), append(7, 8, "b", 1), read(9, 10, "b", "a")],
    "lost with a version, and it was in time": [lost(0, "a", 0), append(1, 2, "b", None, 0), read(3, 4, "a")],
    "two streams": [append(0, 1, "a", 1), append(0, 1, "b", 1, stream="t"), read(2, 3, "b", stream="t")],
}

BAD = {
    "a stale read": [append(0, 1, "a", 1), read(2, 3)],
    "a read of what nobody wrote": [append(0, 1, "a", 1), read(2, 3, "a", "b")],
    "reads go back": [append(0, 9, "a", 1), read(1, 2, "a"), read(3, 4)],
    "one version twice": [append(0, 3, "a", 1, 0), append(1, 2, "b", 1, 0)],
    "one version twice, whatever was expected": [append(0, 3, "a", 1), append(1, 2, "b", 1)],
    "a lost update": [append(0, 1, "a", 1), append(2, 3, "b", 2), read(4, 5, "b")],
    "an append that happened twice": [append(0, 1, "a", 1), read(2, 3, "a", "a")],
    "refused without a reason": [append(0, 1, "a", None, 0), read(2, 3)],
    "taken although the version was old": [append(0, 1, "a", 1), append(2, 3, "b", 2, 0)],
    "lost, seen and gone again": [lost(0, "a"), read(5, 6, "a"), read(7, 8)],
    "lost, and twice": [lost(0, "a"), read(5, 6, "a", "a")],
    "lost with a version, and it was too late": [append(0, 1, "b", 1), lost(2, "a", 0), read(3, 4, "b", "a")],
    "seen before it was asked for": [read(0, 1, "a"), append(2, 3, "a", 1)],
    "the order of appends turned round": [append(0, 1, "a", 1), append(2, 3, "b", 2), read(4, 5, "b", "a")],
    "two streams, of which one is wrong": [append(0, 1, "a", 1), read(2, 3, "a", stream="t"), read(2, 3, "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_histories_that_could_have_been_are_accepted(name: str) -> None:
    assert broken_streams(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_histories_that_could_not_have_been_are_found(name: str) -> None:
    assert len(broken_streams(BAD[name])) == 1


def by_trying_all(operations: list[Operation]) -> bool:
    """The definition itself: some order of all answered and some unanswered operations, none before one that ended
    before it began, explains every answer."""
    answered = [o for o in operations if not o.unknown]
    unanswered = [o for o in operations if o.unknown]
    for chosen in range(2 ** len(unanswered)):
        taken = answered + [o for n, o in enumerate(unanswered) if chosen >> n & 1]
        for order in permutations(taken):
            in_time = all(not (b.ended < a.began) for n, a in enumerate(order) for b in order[n + 1 :])
            if in_time and _explains(order):
                return True
    return False


def _explains(order: tuple[Operation, ...]) -> bool:
    content: list[str] = []
    for o in order:
        if o.value is None:
            if o.answer != tuple(content) and not o.unknown:
                return False
            continue
        if o.expected is not None and o.expected != len(content):
            if o.unknown or o.answer is not None:
                return False
            continue
        content.append(o.value)
        if not o.unknown and o.answer != len(content):
            return False
    return True


contents: st.SearchStrategy[Content] = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    began = draw(st.integers(0, 8))
    ended = draw(st.integers(began, 9) | st.just(inf))
    if draw(st.booleans()):
        return Operation("s", began, ended, answer=draw(contents))
    expected = draw(st.none() | st.integers(0, 2))
    answer = draw(st.integers(1, 3)) if expected is None else draw(st.sampled_from([None, expected + 1]))
    return Operation("s", began, ended, draw(st.sampled_from("abc")), expected, answer)


@given(st.lists(operations(), max_size=5))
@examples(300, derandomize=True)
def test_the_search_finds_what_trying_all_orders_finds(history: list[Operation]) -> None:
    assert linearizable(history) == by_trying_all(history)
