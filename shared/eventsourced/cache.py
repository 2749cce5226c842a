"""Folded states kept in memory, so that a busy stream is not read again and again. Bounded, least recently used out.

The bound is in bytes of what the states were folded from: a thousand states of orders with one line are not a thousand
with five hundred lines.

The cache is never believed: every load asks the store for facts behind the cached version, so a state that another
writer has outdated is brought forward before anything is decided on it.
"""

from typing import Any, NamedTuple


ENTRY_BYTES = 500
"""What a state takes that was folded from next to nothing."""


class Cached(NamedTuple):
    """A state at a version; `size_since`: bytes of facts since its snapshot, `snapshot_size`: bytes of that."""

    state: Any
    version: int
    size_since: int
    snapshot_size: int

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return self.size_since + self.snapshot_size + ENTRY_BYTES


class StateCache:
    """Least recently used states by stream name."""

    def __init__(self, bytes_max: int) -> None:
        self._entries: dict[str, Cached] = {}
        self._bytes_max = bytes_max
        self.bytes = 0
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
        if known is not None:
            self.bytes -= known.bytes
            if known.version > entry.version:
                entry = known
        self._entries[stream] = entry
        self.bytes += entry.bytes
        while self.bytes > self._bytes_max:
            self.bytes -= self._entries.pop(next(iter(self._entries))).bytes

    def __len__(self) -> int:
        return len(self._entries)
