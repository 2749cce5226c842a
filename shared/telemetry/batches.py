"""The spans of batches: one for the batch, linked to all who share it, and one for each message of a sampled trace.

A batch has many parents, and a span has one: so a batch is a trace of its own with links, and each sampled message
has, in the trace of its order, a span that covers the same time and is linked to the batch.
"""

import time
from collections.abc import Sequence

import structlog

from shared.errors import in_words
from shared.eventsourced.fresh import Placed
from shared.eventsourced.work import Work
from shared.telemetry.spans import LINKS_MAX, Kind, Span, Spans
from shared.tracing import child_of, is_sampled

log = structlog.get_logger()


class BatchSpans:
    """Makes spans of what the engine reports. Whatever goes wrong here is logged, and the engine goes on."""

    def __init__(self, service: str, spans: Spans) -> None:
        self._service = service
        self._spans = spans

    def worked(self, works: Sequence[Work], seconds: float) -> None:
        """A batch of works took so long, and has just been committed."""
        try:
            sampled = [work for work in works if is_sampled(work.trace)]
            if sampled:
                self._worked(works, sampled, seconds)
        except Exception as error:
            log.warning("a batch has no spans", error=in_words(error))

    def said(self, topic: str, public: Sequence[Placed], seconds: float) -> None:
        """Messages were sent in this order, which took so long, and have just been acknowledged."""
        try:
            sampled = [placed for placed in public if is_sampled(placed.recorded.meta.trace)]
            if sampled:
                self._said(topic, len(public), sampled, seconds)
        except Exception as error:
            log.warning("a batch has no spans", error=in_words(error))

    def _worked(self, works: Sequence[Work], sampled: Sequence[Work], seconds: float) -> None:
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        batch = _recorded()
        heard = sampled[0].letter is not None
        name = "process batch" if heard else "decide batch"
        kind: Kind = "consumer" if heard else "internal"
        attributes: dict[str, str | int | bool] = {"o2c.batch.facts": sum(len(work.facts) for work in works)}
        if heard:
            attributes |= {
                **_MESSAGING,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.batch.message_count": len(works),
                "messaging.consumer.group.name": self._service,
            }
        links = [work.parent or work.trace for work in sampled[:LINKS_MAX]]
        self._spans.put(Span(name, kind, batch, "", start, end, attributes, links))
        for work in sampled:
            self._spans.put(self._message(work, start, end, batch))

    def _message(self, work: Work, start: int, end: int, batch: str) -> Span:
        fault = type(work.error).__name__ if work.error is not None else ""
        attributes: dict[str, str | int | bool] = {"o2c.facts": len(work.facts)}
        if work.letter is None:
            command = type(work.commands[0].command).__name__ if work.commands else ""
            attributes["o2c.command"] = command
            return Span(
                f"decide {command}", "internal", work.trace, work.parent, start, end, attributes, (batch,), fault
            )
        letter = work.letter()
        attributes |= {
            **_MESSAGING,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": letter.topic,
            "messaging.destination.partition.id": str(letter.partition),
            "messaging.kafka.offset": letter.offset,
            "messaging.consumer.group.name": self._service,
            "messaging.message.id": letter.message_id,
            "messaging.message.body.size": len(letter.body),
            "cloudevents.event_type": letter.type,
        }
        if work.waits:
            attributes["o2c.waits"] = True
        name = f"process {letter.topic}"
        return Span(name, "consumer", work.trace, work.parent, start, end, attributes, (batch,), fault)

    def _said(self, topic: str, count: int, sampled: Sequence[Placed], seconds: float) -> None:
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        batch, name = _recorded(), f"send {topic}"
        common: dict[str, str | int | bool] = {
            **_MESSAGING,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
        }
        links = [placed.recorded.meta.trace for placed in sampled[:LINKS_MAX]]
        attributes = {**common, "messaging.batch.message_count": count}
        self._spans.put(Span(name, "producer", batch, "", start, end, attributes, links))
        for placed in sampled:
            recorded = placed.recorded
            own = {
                **common,
                "messaging.message.id": recorded.id,
                "o2c.fact": type(recorded.fact).__name__,
                # From recording the fact until the relay took it up: what waiting for the relay costs.
                "o2c.relay.waited_us": max(start // 1_000 - recorded.meta.at, 0),
            }
            trace = recorded.meta.trace
            self._spans.put(Span(name, "producer", child_of(trace), trace, start, end, own, (batch,)))


_MESSAGING: dict[str, str | int | bool] = {"messaging.system": "kafka"}


def _recorded() -> str:
    """The context of a new trace that is recorded in any case."""
    return f"{child_of('')[:52]}-01"
