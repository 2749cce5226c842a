"""Finding and mending what Kafka lost: listeners compare what they heard with what speakers say they have said.

A hole in a lane, or a lane that stays behind its speaker's head although nothing more is coming, makes the listener ask
the speaker (over the control topic) to say that lane again from there. So a wiped broker, a deleted topic, passed
retention and a changed number of partitions mend themselves, from the stores.

A listener that has heard more than a speaker says it has said tells the speaker so: its store was restored from an
older backup, which only the speaker can know for sure (see `restoring.py`).
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from shared.eventsourced.publishing import LANES, SEQUENCE_MAX
from shared.eventsourced.relay import Relay
from shared.eventsourced.writing import Position

log = structlog.get_logger()

PATIENCE_SECONDS = 3.0
"""How long a lane may stand still behind a hole or behind its head before it is asked for: longer than a rebalance
with everybody present, shorter than people notice."""
ASK_AGAIN_SECONDS = 10.0


class Control(msgspec.Struct):
    """A control message: `heads` (lane → sequence) of a speaker, or `lanes` (lane → sequence): of kind `resend` from
    where it shall say them again, of kind `heard` how far somebody has heard it."""

    kind: str
    speaker: str
    heads: dict[int, int] = {}
    lanes: dict[int, int] = {}


class Stalled:
    """Notices lanes that stand still behind what was said. Pure but for the clock that is handed in."""

    def __init__(self) -> None:
        self._since: dict[Position, tuple[int, float]] = {}
        self._asked: dict[Position, float] = {}

    def to_ask(self, heard: Mapping[Position, int], said: Mapping[Position, int], now: float) -> dict[Position, int]:
        """Lanes to ask for, with the sequence to begin at. `heard`: positions; `said`: heads or sequences seen."""
        asks: dict[Position, int] = {}
        for lane, head in said.items():
            position = heard.get(lane, 0)
            if position >= head:
                self._since.pop(lane, None)
                continue
            stood_at, since = self._since.get(lane, (-1, now))
            if stood_at != position:
                self._since[lane] = (position, now)
            elif now - since >= PATIENCE_SECONDS and now - self._asked.get(lane, -1e9) >= ASK_AGAIN_SECONDS:
                self._asked[lane] = now
                asks[lane] = position + 1
        return asks


class Resending:
    """Both ends of the control topic for one service: asks other speakers, and passes requests to the own relay."""

    def __init__(
        self,
        service: str,
        relay: Relay,
        speakers: Sequence[str],
        read_positions: Callable[[], Awaitable[Mapping[Position, int]]],
        send: Callable[[bytes], Awaitable[None]],
        taken: Callable[[], Awaitable[Callable[[Position], bool]]],
        on_heard: Callable[[Mapping[int, int]], Awaitable[None]],
    ) -> None:
        """`taken`: tells of a lane whether all that Kafka holds of it for this process has been taken."""
        self._service, self._relay, self._speakers = service, relay, frozenset(speakers)
        self._read_positions, self._send, self._taken = read_positions, send, taken
        self._on_heard = on_heard
        self._said: dict[Position, int] = {}
        self._heard: Mapping[Position, int] = {}
        self._told_at: dict[str, float] = {}
        self._holes: dict[Position, float] = {}
        self._stalled = Stalled()
        self.asked = 0

    async def hear(self, records: Sequence[Any]) -> None:
        """Control messages, in any condition; what cannot be read is nobody's loss."""
        for record in records:
            try:
                control = msgspec.json.decode(record.value or b"", type=Control)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if control.kind == "resend" and control.speaker == self._service:
                self._relay.say_again(_possible(control.lanes))
            elif control.kind == "heads" and control.speaker in self._speakers:
                heads = _possible(control.heads)
                self._said.update({(control.speaker, lane): head for lane, head in heads.items()})
                self._told_at[control.speaker] = time.monotonic()
                await self._tell_heard(control.speaker, heads)
            elif control.kind == "heard" and control.speaker == self._service:
                await self._on_heard(_possible(control.lanes))

    async def _tell_heard(self, speaker: str, heads: Mapping[int, int]) -> None:
        """What was heard before these heads came is part of them, unless the speaker has forgotten it."""
        ahead = {lane: self._heard.get((speaker, lane), 0) for lane in range(LANES)}
        ahead = {lane: heard for lane, heard in ahead.items() if heard > heads.get(lane, 0)}
        if ahead:
            log.warning("has heard more than is said", speaker=speaker, lanes=ahead)
            await self._send(msgspec.json.encode(Control("heard", speaker, lanes=ahead)))

    async def check(self, gaps: dict[Position, int]) -> None:
        """Called every second or so: ask for what does not come by itself. `gaps`: see `Consumer`.

        A hole that is filled, or before something that the speaker itself knows nothing of, is taken out of `gaps`.
        """
        if not self._said and not gaps:
            return
        self._heard = heard = await self._read_positions()
        for lane in [lane for lane, last in gaps.items() if heard.get(lane, 0) >= last]:
            del gaps[lane]  # another replica has heard it
        self._forget_holes_of_others(gaps, heard)
        # What stands behind a hole may name any sequence: no more is believed than that there is one more.
        said = {lane: max(heard.get(lane, 0) + 1, self._said.get(lane, 0)) for lane in gaps}
        taken = await self._taken()
        said = {**{lane: head for lane, head in self._said.items() if taken(lane)}, **said}
        asks = self._stalled.to_ask(heard, said, time.monotonic())
        for speaker in {speaker for speaker, _ in asks}:
            lanes = {lane: start for (name, lane), start in asks.items() if name == speaker}
            await self.ask(speaker, lanes)

    def _forget_holes_of_others(self, gaps: dict[Position, int], heard: Mapping[Position, int]) -> None:
        """Whoever writes to a speaker's topic may name any sequence. If, long after, the speaker says that its lane
        ends where we stand, there is no hole; should it be wrong in that, its next heads put it right."""
        now = time.monotonic()
        self._holes = {lane: self._holes.get(lane, now) for lane in gaps}
        for lane, since in self._holes.items():
            told = self._told_at.get(lane[0], 0.0) > since + PATIENCE_SECONDS
            if told and heard.get(lane, 0) >= self._said.get(lane, 0):
                log.warning("no hole: the speaker has said no more", speaker=lane[0], lane=lane[1])
                del gaps[lane]

    async def ask(self, speaker: str, lanes: Mapping[int, int]) -> None:
        """Ask a speaker to say these lanes again, from these sequences on."""
        self.asked += 1
        log.warning("asks to hear again", speaker=speaker, lanes=dict(lanes))
        await self._send(msgspec.json.encode(Control("resend", speaker, lanes=dict(lanes))))


def _possible(lanes: Mapping[int, int]) -> dict[int, int]:
    """What can be a lane and a sequence: anybody may write to the control topic."""
    return {lane: n for lane, n in lanes.items() if 0 <= lane < LANES and 0 < n < SEQUENCE_MAX}
