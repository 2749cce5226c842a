"""The persistent sorted set behaves like a sorted list of distinct texts, however large."""

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.sorted_keys import CHUNK_KEYS_MAX, SortedKeys

keys = st.text("ab1", min_size=1, max_size=4)


def flat(found: SortedKeys) -> list[str]:
    return [key for chunk in found.chunks for key in chunk]


def many(names: Iterable[str]) -> SortedKeys:
    found = SortedKeys()
    for name in names:
        found = found.added(name)
    return found


@given(st.lists(st.tuples(st.booleans(), keys), max_size=200), st.text("ab1", max_size=2))
def test_it_is_a_sorted_set(changes: list[tuple[bool, str]], prefix: str) -> None:
    expected: set[str] = set()
    found = SortedKeys()
    for adds, key in changes:
        found = found.added(key) if adds else found.removed(key)
        expected = expected | {key} if adds else expected - {key}
    assert flat(found) == sorted(expected)
    assert list(found.starting_with(prefix)) == sorted(key for key in expected if key.startswith(prefix))


def test_thousands_of_keys_stay_in_short_chunks() -> None:
    names = [f"{n:05}" for n in range(10_000)]
    random.Random(7).shuffle(names)
    found = many(names)
    assert flat(found) == sorted(names)
    assert max(len(chunk) for chunk in found.chunks) <= CHUNK_KEYS_MAX
    assert len(found.chunks) <= 2 * 10_000 // CHUNK_KEYS_MAX + 1
    assert list(found.starting_with("0123")) == [f"0123{n}" for n in range(10)]


def test_removing_nearly_everything_leaves_few_chunks() -> None:
    names = [f"{n:05}" for n in range(10_000)]
    found = many(names)
    random.Random(7).shuffle(names)
    for name in names[:-20]:
        found = found.removed(name)
    assert flat(found) == sorted(names[-20:])
    assert len(found.chunks) <= 20


def test_a_change_leaves_the_set_before_it_as_it_was() -> None:
    before = many(["a", "b"])
    before.added("c")
    before.removed("a")
    assert flat(before) == ["a", "b"]
    assert before.removed("z") is before
    assert before.added("a") is before
