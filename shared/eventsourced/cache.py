"""Folded states kept in memory, so that a busy stream is not read again and again. Bounded, least recently used out.

The cache is never believed: every load asks the store for facts behind the cached version, so a state that another
writer has outdated is brought forward before anything is decided on it.
"""

from typing import Any, NamedTuple


class Cached(NamedTuple):
    """A state at a version; `size_since`: bytes of facts since its snapshot, `snapshot_size`: bytes of that."""

    state: Any
    version: int
    size_since: int
    snapshot_size: int


class StateCache:
    """Least recently used states by stream name."""

    def __init__(self, entries_max: int) -> None:
        self._entries: dict[str, Cached] = {}
        self._entries_max = entries_max
        self.hits = 0
        self.misses = 0

    def get(self, stream: str) -> Cached | None:
        entry = self._entries.pop(stream, None)
        if entry is None:
            self.misses += 1
            return None
        self._entries[stream] = entry  # most recently used goes last
        self.hits += 1
        return entry

    def put(self, stream: str, entry: Cached) -> None:
        """Keep a committed state, unless a newer one is there already."""
        known = self._entries.pop(stream, None)
        self._entries[stream] = known if known is not None and known.version > entry.version else entry
        if len(self._entries) > self._entries_max:
            del self._entries[next(iter(self._entries))]

    def __len__(self) -> int:
        return len(self._entries)
