"""Folded states kept in memory, so that a busy stream is not read again and again. Bounded, least recently used out.

The bound is in bytes of snapshots and facts: a thousand orders of one line are not a thousand of five hundred lines.

The cache is never believed: every load asks the store for facts behind the cached version, so a state that another
writer has outdated is brought forward before anything is decided on it.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

from shared.eventsourced.decider import Decider

ENTRY_BYTES = 500
"""What a state takes that was folded from next to nothing."""


class Cached(NamedTuple):
    """A state at a version. `size`: bytes of its snapshot, or of all its facts if its kind has no snapshots.

    `size_since`: bytes of facts since the snapshot. They do not count as size: such states are far smaller than facts.
    """

    state: Any
    version: int
    size_since: int
    size: int

    def grown(self, decider: Decider[Any, Any, Any], state: Any, version: int, more: int) -> "Cached":
        """After facts of so many bytes."""
        if decider.snapshots:
            return Cached(state, version, self.size_since + more, self.size)
        return Cached(state, version, 0, self.size + more)

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return self.size + ENTRY_BYTES


class StateCache:
    """Least recently used states by stream name."""

    def __init__(self, bytes_max: int) -> None:
        # Not a dict: finding its first entry passes over all that were removed before it.
        self._entries: OrderedDict[str, Cached] = OrderedDict()
        self._bytes_max = bytes_max
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, stream: str) -> Cached | None:
        entry = self._entries.get(stream)
        if entry is None:
            self.misses += 1
            return None
        self._entries.move_to_end(stream)
        self.hits += 1
        return entry

    def put(self, stream: str, entry: Cached) -> None:
        """Keep a committed state, unless a newer one is there already."""
        known = self._entries.get(stream)
        if known is not None:
            self.bytes -= known.bytes
            if known.version > entry.version:
                entry = known
        self._entries[stream] = entry
        self._entries.move_to_end(stream)
        self.bytes += entry.bytes
        while self.bytes > self._bytes_max:
            self.bytes -= self._entries.popitem(last=False)[1].bytes

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)
