"""Deciding a batch in memory equals one transaction per work: nothing of a failed work stays, not even a number."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConflictError, DomainError
from shared.eventsourced.decider import To
from shared.eventsourced.facts import Recorded
from shared.eventsourced.letters import Letter
from shared.eventsourced.work import ROUNDS_MAX, Decided, Numbering, Pass, Work
from tests.engine.toy import NUMBERED, AddCoins, CoinsAdded, Count, ReceiptWritten, WriteReceipt, jar, react, tally

State = dict[str, tuple[Any, int]]
LETTER = Letter("o-1@1", "t", "o-1", "topic", 0, 0, (), None, b"")


def add(customer: str, amount: int, order: str = "O-1", expected: int | None = None) -> To[Any]:
    return To(jar, customer, AddCoins(customer, order, amount), expected)


def receipt(customer: str, reason: str = "because") -> To[Any]:
    return To(jar, customer, WriteReceipt(customer, reason))


def touchy(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
    """The toy's reaction; after seven coins a receipt as well, after eight a receipt and then a failure."""
    led_to = list(react(facts))
    for amount in (f.fact.amount_minor for f in facts if isinstance(f.fact, CoinsAdded)):
        led_to += [receipt("clerk")] if amount in (7, 8) else []
        led_to += [add("clerk", 13)] if amount == 8 else []
    return led_to


def decide(
    works: Sequence[Work],
    stored: Mapping[str, tuple[Any, int]] | None = None,
    reactions: Callable[[Sequence[Recorded]], Sequence[To[Any]]] = touchy,
    last: Mapping[str, int] | None = None,
) -> tuple[Decided, dict[str, int]]:
    """As the unit of work does it: passes until no stream is missing, numbers from the start in each."""
    known = {to.stream for work in works for to in work.commands}
    for _ in range(20):
        numbering = Numbering(NUMBERED, last or {})
        look = {s: (stored or {}).get(s, (tally.initial if s.startswith("tally") else jar.initial, 0)) for s in known}
        result = Pass(look.get, reactions, numbering, 1_000).decide(works)
        if not result.missing:
            return result, numbering.last
        known |= set(result.missing)
    raise AssertionError("discovery does not end")


def one_transaction_per_work(works: Sequence[Work]) -> tuple[dict[str, list[Any]], list[type[Exception] | None], int]:
    """The model: every stream is a list of facts, and a work that raises is rolled back with all its numbers."""
    streams: dict[str, list[Any]] = {}
    errors: list[type[Exception] | None] = []
    number = 0
    for work in works:
        saved = {s: list(facts) for s, facts in streams.items()}, number
        try:
            todo = list(work.commands)
            for _ in range(ROUNDS_MAX):
                round_, todo = todo, []
                for to in round_:
                    facts = streams.setdefault(to.stream, [])
                    if to.expected_version not in (None, len(facts)):
                        raise ConflictError("version")
                    new = list(to.decider.decide(to.decider.fold(facts), to.command))
                    for i, fact in enumerate(new):
                        if isinstance(fact, ReceiptWritten):
                            number += 1
                            new[i] = NUMBERED[ReceiptWritten].numbered(fact, number)
                    facts += new
                    todo += touchy([Recorded(to.stream, 0, fact, None) for fact in new]) if new else []
            errors.append(None)
        except Exception as error:
            (streams, number), _ = saved, errors.append(type(error))
    return {s: facts for s, facts in streams.items() if facts}, errors, number


commands = st.one_of(
    st.builds(
        add,
        st.sampled_from(["a", "b", "clerk"]),
        st.sampled_from([1, 7, 8, 13, 666]),
        st.sampled_from(["O-1", "O-2", "O-3", "O-4"]),
        st.sampled_from([None, None, None, 0, 1, 2]),
    ),
    st.builds(receipt, st.sampled_from(["a", "b", "clerk"])),
)


@given(st.lists(st.lists(commands, max_size=4), max_size=8))
def test_a_batch_ends_as_one_transaction_per_work_would(batch: list[list[To[Any]]]) -> None:
    works = [Work(commands) for commands in batch]
    result, last = decide(works)
    streams, errors, number = one_transaction_per_work(works)
    grouped: dict[str, list[Any]] = {}
    for recorded in result.facts:
        grouped.setdefault(recorded.originator_id, []).append(recorded.fact)
        assert recorded.originator_version == len(grouped[recorded.originator_id])
    assert grouped == streams
    assert [type(work.error) if work.error else None for work in works] == errors
    assert last.get("R-2026", 0) == number
    for stream, (state, version, decider) in result.states.items():
        assert (state, version) == (decider.fold(streams[stream]), len(streams[stream]))
    assert set(result.states) == set(streams)
    assert [fact for work in works for fact in work.facts] == result.facts


def test_a_work_that_fails_in_a_reaction_burns_no_number() -> None:
    works = [Work([add("a", 8)]), Work([receipt("b")])]
    result, last = decide(works)
    assert isinstance(works[0].error, DomainError)
    assert [recorded.fact.number for recorded in result.facts] == ["R-2026-000001"]
    assert last == {"R-2026": 1}


def test_a_failed_work_leaves_the_state_that_an_earlier_work_of_the_batch_led_to() -> None:
    works = [Work([add("a", 1)]), Work([add("a", 5, "O-2"), add("a", 13, "O-3")]), Work([add("a", 2, "O-4")])]
    result, _ = decide(works, reactions=lambda facts: ())
    assert result.states["jar-a"][0].total_minor == 3
    assert [recorded.originator_version for recorded in result.facts] == [1, 2]
    assert works[1].facts == ()


def test_numbers_go_on_from_the_last_one_of_their_series() -> None:
    result, last = decide([Work([receipt("a"), receipt("b")])], last={"R-2026": 41, "other": 5})
    assert [recorded.fact.number for recorded in result.facts] == ["R-2026-000042", "R-2026-000043"]
    assert last == {"R-2026": 43, "other": 5}


def test_the_state_is_evolved_with_the_numbered_fact() -> None:
    result, _ = decide([Work([receipt("a")])])
    assert result.states["jar-a"][0].numbers == ("R-2026-000001",)


def test_reactions_that_never_end_fail_their_work_only() -> None:
    def for_ever(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
        return [To(tally, "all", Count(facts[0].fact.customer_id))] if facts[0].fact.customer_id == "a" else ()

    works = [Work([add("a", 1)]), Work([add("b", 1)])]
    result, _ = decide(works, reactions=for_ever)
    assert isinstance(works[0].error, RuntimeError)
    assert set(result.states) == {"jar-b"}


def test_a_reaction_sees_only_the_facts_of_one_command() -> None:
    seen: list[int] = []

    def count(facts: Sequence[Recorded]) -> Sequence[To[Any]]:
        seen.append(len(facts))
        return ()

    decide([Work([add("a", 1), add("a", 1), add("b", 1)])], reactions=count)
    assert seen == [1, 1]


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_another_version_than_the_expected_one_is_refused(expected: int) -> None:
    work = Work([add("a", 1, expected=expected)])
    decide([work], stored={"jar-a": (jar.initial, 1)})
    assert isinstance(work.error, ConflictError)
    assert work.error.code == "version"


def test_the_expected_version_counts_facts_of_earlier_works_of_the_batch() -> None:
    works = [Work([add("a", 1, expected=0)]), Work([add("a", 1, "O-2", expected=0)]), Work([add("a", 1, "O-3", 1)])]
    decide(works)
    assert [work.error is None for work in works] == [True, False, True]


def test_a_stream_that_is_not_known_is_named_and_nothing_of_it_is_decided() -> None:
    result = Pass({"jar-a": (jar.initial, 0)}.get, react, None, 0).decide([Work([add("a", 1), add("b", 1)])])
    assert result.missing == {"jar-b": jar, "tally-all": tally}
    assert set(result.states) == {"jar-a"}


def test_every_stream_that_was_looked_at_is_named_even_if_nothing_came_of_it() -> None:
    stored = {"jar-a": (jar.evolve(jar.initial, CoinsAdded("a", "O-1", 1)), 1)}
    result, _ = decide([Work([add("a", 1)])], stored=stored)
    assert set(result.read) == {"jar-a"}
    assert result.facts == []


def from_kafka(stream: str, *commands: To[Any], poison: Exception | None = None) -> Work:
    return Work(commands, stream=stream, letter=lambda: LETTER, poison=poison)


def test_what_follows_a_failed_message_of_its_stream_waits_and_the_rest_goes_on() -> None:
    works = [
        from_kafka("o-1", add("a", 1)),
        from_kafka("o-1", poison=ValueError("unreadable")),
        from_kafka("o-1", add("a", 2, "O-2")),
        from_kafka("o-2", add("a", 3, "O-3")),
    ]
    result, _ = decide(works)
    assert [(work.waits, work.error is not None) for work in works] == [
        (False, False),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert result.states["jar-a"][0].total_minor == 4


def test_works_without_a_stream_never_wait_for_each_other() -> None:
    works = [from_kafka("", poison=ValueError()), from_kafka("", add("a", 1))]
    decide(works)
    assert works[1].facts


def test_works_of_a_blocked_stream_wait_even_if_they_could_be_done() -> None:
    work = from_kafka("o-1", add("a", 1))
    result = Pass({}.get, react, None, 0).decide([work], blocked={"o-1"})
    assert work.waits
    assert not result.facts
    assert not result.missing


def test_deciding_the_same_works_again_forgets_what_the_first_pass_said() -> None:
    work = Work([add("a", 13)])
    decide([work])
    assert work.error is not None
    work.commands = [add("a", 1)]
    decide([work])
    assert work.error is None
    assert type(work.facts[0].fact) is CoinsAdded


def test_a_caller_learns_the_state_and_version_after_its_own_work() -> None:
    works = [Work([add("a", 1)]), Work([add("a", 2, "O-2")]), Work([add("a", 2, "O-2")])]
    decide(works)
    assert [(work.after[0].total_minor, work.after[1]) for work in works] == [(1, 1), (3, 2), (3, 2)]
