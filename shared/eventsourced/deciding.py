"""From the works of a batch to what follows from them: load what they name, decide in memory, prove what was guessed.

Reactions lead to streams that no work named. The first pass takes those from the cache, unproven; what it looked at is
then read, and decided again where it was not as believed.
"""

import time
from collections.abc import Iterable, Sequence, Set
from typing import Any

from shared.errors import ConcurrencyError
from shared.eventsourced.cache import Cached
from shared.eventsourced.service import Service
from shared.eventsourced.store import Store
from shared.eventsourced.work import Decided, Numbering, Pass, Work
from shared.telemetry.engine import Lap, WorkFigures


class Deciding:
    """Decides the batches of one service; writes nothing, and keeps nothing but what the store's cache keeps."""

    def __init__(self, service: Service, store: Store, figures: WorkFigures) -> None:
        self._react = service.reactions
        self._store = store
        self._figures = figures

    async def decide(
        self, connection: Any, works: Sequence[Work], numbering: Numbering | None, blocked: Set[str]
    ) -> tuple[Decided, dict[str, Cached]]:
        """What the works lead to, and the streams that it follows from, as they were read."""
        watch = Lap()
        wanted = {to.stream: to.decider for work in works for to in work.commands}
        loaded = await self._store.load(connection, wanted) if wanted else {}
        at_once = set(loaded)
        self._figures.load.add(watch.lap())
        now_us = _now_us()
        while True:
            believed = dict(loaded)
            decided = self._pass(believed, numbering, now_us, guessing=True).decide(works, blocked)
            unproven = {stream: decider for stream, decider in decided.read.items() if stream not in loaded}
            if not unproven:
                if _settled(works, decided, at_once):
                    break
                self._store.keep(loaded)
                unproven = decided.read  # all of them, as they are at one instant
            found = await self._store.load(connection, unproven)
            loaded.update(found)
            at_once = set(found)
            as_believed = not decided.missing and all(found[s].version == believed[s].version for s in found)
            if as_believed and _settled(works, decided, at_once):
                break
        self._figures.decide.add(watch.lap())
        return decided, loaded

    def again(
        self, works: Sequence[Work], numbering: Numbering | None, blocked: Set[str], loaded: dict[str, Cached]
    ) -> Decided:
        """Others took numbers meanwhile: decide from the same states, in memory, behind their last one."""
        watch = Lap()
        # A document behind another is not dated before it.
        decided = self._pass(loaded, numbering, _now_us(), guessing=False).decide(works, blocked)
        if decided.missing:
            raise ConcurrencyError("with other numbers, other streams are asked for")
        self._figures.decide.add(watch.lap())
        return decided

    def _pass(self, believed: dict[str, Cached], numbering: Numbering | None, now_us: int, *, guessing: bool) -> Pass:
        """`guessing`: what is not in `believed` is taken from the cache, and added to it."""

        def known(stream: str) -> tuple[Any, int] | None:
            entry = believed.get(stream)
            if entry is None:
                entry = self._store.cache.get(stream) if guessing else None
                if entry is None:
                    return None
                believed[stream] = entry
            return entry.state, entry.version

        if numbering is not None:
            numbering.restart()
        return Pass(known, self._react, numbering, now_us)


def _now_us() -> int:
    return time.time_ns() // 1000


def _settled(works: Iterable[Work], decided: Decided, at_once: Set[str]) -> bool:
    """Whether what was decided follows from states that were true together. `at_once`: read by one statement.

    What is written is proven by its versions when it is written. A failure writes nothing, and may come from streams
    that were read one after the other while another writer changed them both.
    """
    return decided.read.keys() <= at_once or all(work.error is None for work in works)
