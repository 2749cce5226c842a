"""What a service has heard: duplicates fall out, gaps are noticed, the rest becomes works. Pure.

A speaker counts its messages without gaps in each lane, so `sequence` alone tells a repeat (≤ position), the next
one (= position + 1) and a hole (> position + 1). Behind a hole nothing of that lane is taken: the speaker is asked to
say it again from the hole on (see `resending.py`), and what was skipped comes again with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.catalogue import INBOUND_TOPICS, contract_of
from shared.eventsourced.policy import Hears
from shared.eventsourced.projecting import MessageProjection, Row, Table
from shared.eventsourced.reading import Decoders, Received
from shared.eventsourced.work import Work
from shared.eventsourced.writing import Position
from shared.tracing import child_of


@dataclass(slots=True)
class Heard:
    """A batch as it shall be worked: `moves`: (speaker, lane) → (position before, position after).

    `gaps`: (speaker, lane) → the last sequence that was seen behind a hole and not taken.
    """

    works: list[Work] = field(default_factory=list)
    moves: dict[Position, tuple[int, int]] = field(default_factory=dict)
    gaps: dict[Position, int] = field(default_factory=dict)
    duplicates: int = 0


def sift(received: Iterable[Received], positions: Mapping[Position, int], translate: "Translator") -> Heard:
    """Sort out a batch in the order given, starting from these positions."""
    heard = Heard()
    for item in received:
        if item.speaker:
            lane = (item.speaker, item.lane)
            move = heard.moves.get(lane)
            before, position = move if move is not None else (positions[lane],) * 2
            if item.sequence <= position:
                heard.duplicates += 1
                continue
            if item.sequence > position + 1:
                heard.gaps[lane] = max(item.sequence, heard.gaps.get(lane, 0))
                continue
            heard.moves[lane] = (before, item.sequence)
        work = translate.work(item)
        if work is not None:
            heard.works.append(work)
    return heard


class Translator:
    """From a received message to the work it asks for, by the policies and projections of one service."""

    def __init__(self, hears: Hears, projections: Sequence[MessageProjection], decoders: Decoders) -> None:
        kinds = {kind for projection in projections for kind in projection.rows}
        for kind in kinds:
            if contract_of(kind).topic in INBOUND_TOPICS:
                # It has no position, so a repeat would write its rows again; the fact that it leads to has one.
                raise ValueError(f"{kind.__name__} may be repeated for ever: no rows can follow from it")
        self._hears = hears
        self._rows_of = {kind: [(p.table, p.rows[kind]) for p in projections if kind in p.rows] for kind in kinds}
        self._decoders = decoders

    def work(self, received: Received) -> Work | None:
        """The work a message asks for; None when it does not concern this service."""
        received.open()
        if received.poison is None and not self._decoders.hears(received):
            return None
        heard = received.heard()
        corr = heard.corr or heard.id
        trace = child_of(heard.trace)
        work = Work((), corr, heard.id, trace, stream=received.stream, letter=received.letter, parent=heard.trace)
        work.poison = received.poison
        if work.poison is None:
            try:
                message = self._decoders.decode(received)
                order_id = getattr(message, "order_id", "")
                if not heard.corr and order_id:  # from outside, where nobody has to name a subject
                    work.corr = order_id
                if not heard.trace:
                    work.trace = child_of("", order_id)
                work.commands = self._hears[type(message)](message, heard)
                work.rows = self._rows(message, heard)
            except Exception as error:  # whatever is wrong with a message is a reason to park it, and only it
                work.poison = error
        return work

    def _rows(self, message: Any, heard: Any) -> list[tuple[Table, Row]]:
        rows_of = self._rows_of.get(type(message), ())
        return [(table, row) for table, rows in rows_of for row in rows(message, heard)]
