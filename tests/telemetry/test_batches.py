"""A batch has many parents: one span with links, and one per message of a sampled trace in that message's own trace."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.eventsourced.decider import To
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.fresh import Placed
from shared.eventsourced.letters import Letter
from shared.eventsourced.work import Work
from shared.telemetry.batches import BatchSpans
from shared.telemetry.spans import LINKS_MAX, Span
from shared.tracing import child_of
from tests.engine.toy import CoinsAdded


@pytest.fixture
def spans() -> list[Span]:
    return []


@pytest.fixture
def batches(spans: list[Span]) -> BatchSpans:
    return BatchSpans("credit", SimpleNamespace(put=spans.append))  # type: ignore[arg-type]


def sender(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{'b' * 16}-{flags}"


def heard(number: int, flags: str = "01") -> Work:
    parent = sender(number, flags)
    letter = Letter(f"M-{number}", "o2c.order.OrderPlaced.v1", "", "o2c.order.events", 3, number, (), None, b"{}")
    return Work((), "O", f"M-{number}", child_of(parent), letter=lambda: letter, parent=parent)


def test_sampled_messages_have_a_span_each_and_the_batch_is_linked_to_their_senders(
    batches: BatchSpans, spans: list[Span]
) -> None:
    works = [heard(1), heard(2, "00"), heard(3)]
    works[2].error = ValueError("secret")
    batches.worked(works, 0.5)
    batch, first, third = spans
    assert (batch.name, batch.parent, list(batch.links)) == ("process batch", "", [sender(1), sender(3)])
    assert batch.attributes["messaging.batch.message_count"] == 3
    for span, work in ((first, works[0]), (third, works[2])):
        assert (span.trace, span.parent, span.links) == (work.trace, work.parent, (batch.trace,))
        assert (span.name, span.kind) == ("process o2c.order.events", "consumer")
        assert span.end - span.start == pytest.approx(5e8)
    assert first.attributes["messaging.message.id"] == "M-1"
    assert first.attributes["messaging.destination.partition.id"] == "3"
    assert (first.fault, third.fault) == ("", "ValueError")
    assert "secret" not in repr(spans)


def test_nobody_sampled_is_no_span(batches: BatchSpans, spans: list[Span]) -> None:
    batches.worked([heard(1, "00"), Work((), trace="")], 0.5)
    batches.said("o2c.credit.events", [], 0.5)
    assert spans == []


def test_links_have_an_end(batches: BatchSpans, spans: list[Span]) -> None:
    batches.worked([heard(number) for number in range(LINKS_MAX + 10)], 0.5)
    assert len(spans[0].links) == LINKS_MAX
    assert len(spans) == LINKS_MAX + 11


def test_a_command_of_a_request_is_decided_below_it(batches: BatchSpans, spans: list[Span]) -> None:
    request: Any = sender(1)
    command = To(SimpleNamespace(name="order"), "O-1", CoinsAdded("C-1", "O-1", 1, "EUR"))  # type: ignore[arg-type]
    batches.worked([Work((command,), trace=child_of(request), parent=request)], 0.1)
    batch, decided = spans
    assert (batch.name, decided.name, decided.parent) == ("decide batch", "decide CoinsAdded", request)


def test_what_is_said_hangs_below_the_work_that_recorded_it(batches: BatchSpans, spans: list[Span]) -> None:
    trace = child_of(sender(1))
    placed = Placed(Recorded("coins-C-1", 4, CoinsAdded("C-1", "O-1", 1, "EUR"), Meta(1, trace=trace)), 0, 1)
    unsampled = Placed(Recorded("coins-C-2", 1, CoinsAdded("C-2", "O-2", 1, "EUR"), Meta(1)), 0, 2)
    batches.said("o2c.credit.events", [placed, unsampled], 0.1)
    batch, said = spans
    assert (batch.name, batch.links) == ("send o2c.credit.events", [trace])
    assert (said.parent, said.trace[:36], said.kind) == (trace, trace[:36], "producer")
    assert said.trace != trace
    assert said.attributes["messaging.message.id"] == "coins-C-1@4"
