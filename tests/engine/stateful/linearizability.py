"""Whether a history of concurrent appends and reads could have happened one after the other. Pure.

Streams are independent, so each is judged alone (Herlihy and Wing's locality). Per stream it is Wing and Gong's
search: take any operation that began before every other one ended, see whether the sequential stream answers as was
heard, and go on; a place that was reached before (Lowe) is not searched again, nor one from which a read that is still
to come cannot be reached, since streams only grow. An operation without an answer may have had its effect at any
moment after its beginning, or never.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

Content = tuple[str, ...]
"""The values of one stream, in order; its length is its version."""


@dataclass(frozen=True)
class Operation:
    """`began`, `ended`: instants on one clock; `ended` is infinite when nobody heard an answer.

    Append: `value`, and `expected` (the version it wants to find, None: any). `answer`: the version after it, or
    None when it was refused because of `expected`. Read: `value` is None, and `answer` what was read.
    """

    stream: str
    began: float
    ended: float
    value: str | None = None
    expected: int | None = None
    answer: int | Content | None = None

    @property
    def unknown(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.ended == inf


def broken_streams(history: Iterable[Operation]) -> list[str]:
    """The streams whose operations no order explains; none when the history is linearizable."""
    by_stream: dict[str, list[Operation]] = {}
    for operation in history:
        by_stream.setdefault(operation.stream, []).append(operation)
    return [stream for stream, operations in by_stream.items() if not linearizable(operations)]


def linearizable(operations: Sequence[Operation]) -> bool:
    """Whether the operations on one stream can be put into an order that explains all answers."""
    operations = sorted((o for o in operations if not (o.unknown and o.value is None)), key=lambda o: o.began)
    everything = frozenset(range(len(operations)))
    known = frozenset(n for n in everything if not operations[n].unknown)
    reads = {n: o.answer for n, o in enumerate(operations) if isinstance(o.answer, tuple)}
    visited: set[tuple[frozenset[int], Content]] = set()
    waiting: list[tuple[frozenset[int], Content]] = [(frozenset(), ())]
    while waiting:
        done, content = waiting.pop()
        if known <= done:
            return True
        left = everything - done
        first_end = min(operations[n].ended for n in left)
        for n in left:
            if operations[n].began <= first_end and (after := _applied(operations[n], content)) is not None:
                place = (done | {n}, after)
                grows = all(answer[: len(after)] == after for m, answer in reads.items() if m in left and m != n)
                if grows and place not in visited:
                    visited.add(place)
                    waiting.append(place)
    return False


def _applied(operation: Operation, content: Content) -> Content | None:
    """The stream after this operation, None when the stream would have answered something else."""
    if operation.value is None:
        return content if operation.answer == content else None
    refused = operation.expected not in (None, len(content))
    if operation.unknown:
        return None if refused else (*content, operation.value)
    if refused:
        return content if operation.answer is None else None
    return (*content, operation.value) if operation.answer == len(content) + 1 else None
