"""A persistent sorted set of texts: finds the oldest or the exact open item without a scan of all of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter

from shared.values import Value

CHUNK_KEYS_MAX = 128  # Both levels stay short: 10,000 keys are about 100 chunks of about 100.

_first = itemgetter(0)


class SortedKeys(Value, frozen=True, gc=False):
    """Sorted chunks of sorted keys; a change copies one chunk and the list of chunks.

    Finding costs O(log n) comparisons; a change copies at most 128 pointers of a chunk and one per chunk, a few hundred
    for 10,000 keys, which takes a few microseconds.
    """

    chunks: tuple[tuple[str, ...], ...] = ()

    def added(self, key: str) -> "SortedKeys":
        """The set with this key in it."""
        chunks = self.chunks
        if not chunks:
            return SortedKeys(((key,),))
        at = self._chunk_of(key)
        chunk = chunks[at]
        place = bisect_left(chunk, key)
        if place < len(chunk) and chunk[place] == key:
            return self
        grown = chunk[:place] + (key,) + chunk[place:]  # noqa: RUF005 (unpacking goes through lists: twice as slow)
        return SortedKeys(chunks[:at] + _split(grown) + chunks[at + 1 :])

    def removed(self, key: str) -> "SortedKeys":
        """The set without this key; the same set if it was not there."""
        chunks = self.chunks
        if not chunks:
            return self
        at = self._chunk_of(key)
        chunk = chunks[at]
        place = bisect_left(chunk, key)
        if place == len(chunk) or chunk[place] != key:
            return self
        return SortedKeys(_joined(chunks, at, chunk[:place] + chunk[place + 1 :]))

    def starting_with(self, prefix: str) -> Iterator[str]:
        """All keys with this prefix, in order, found one by one as they are asked for."""
        if not self.chunks:
            return
        at = self._chunk_of(prefix)
        place = bisect_left(self.chunks[at], prefix)
        for chunk_at in range(at, len(self.chunks)):
            chunk = self.chunks[chunk_at]
            for key_at in range(place, len(chunk)):
                if not chunk[key_at].startswith(prefix):
                    return
                yield chunk[key_at]
            place = 0

    def _chunk_of(self, key: str) -> int:
        return max(bisect_right(self.chunks, key, key=_first) - 1, 0)


def _split(chunk: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    half = len(chunk) // 2
    return (chunk,) if len(chunk) <= CHUNK_KEYS_MAX else (chunk[:half], chunk[half:])


def _joined(chunks: tuple[tuple[str, ...], ...], at: int, shrunk: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The chunks with a shrunk one at its place; a small one joins its neighbour, an empty one goes."""
    following = chunks[at + 1] if at + 1 < len(chunks) else ()
    if following and len(shrunk) + len(following) <= CHUNK_KEYS_MAX // 2:
        return chunks[:at] + (shrunk + following,) + chunks[at + 2 :]  # noqa: RUF005 (as above)
    return chunks[:at] + ((shrunk,) if shrunk else ()) + chunks[at + 1 :]
