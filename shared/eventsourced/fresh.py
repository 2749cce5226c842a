"""Facts on their way from the unit of work to the relay of the same process: said without being read again. Pure."""

from collections.abc import Sequence

import msgspec

from shared.eventsourced.facts import Recorded

FACTS_BYTES_MAX = 8_000_000
"""How much is kept for a relay that falls behind, as it is stored; what is more, it reads from the store."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A public fact at its place in the order in which its speaker says things."""

    recorded: Recorded
    lane: int
    sequence: int


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What one transaction appended: the notification ids behind `after` up to `upto`, and the public ones of them.

    `size`: bytes of all its facts, as they are stored.
    """

    after: int
    upto: int
    public: Sequence[Placed]
    size: int


class Fresh:
    """What was committed here and not said yet. Holes (another replica's facts, a rolled back id) end a run of it."""

    def __init__(self) -> None:
        self._appended: dict[int, Appended] = {}
        self._size = 0

    def put(self, appended: Appended) -> None:
        """Keep a committed transaction, unless there is too much."""
        if self._size < FACTS_BYTES_MAX:
            self._appended[appended.after] = appended
            self._size += appended.size

    def take(self, cursor: int, facts_max: int) -> tuple[int, list[Placed]] | None:
        """What follows the cursor without a hole: (last id, public facts), about `facts_max` at most. None: unknown."""
        upto, public = cursor, list[Placed]()
        while (appended := self._appended.get(upto)) and (upto == cursor or appended.upto - cursor <= facts_max):
            self._drop(appended)
            upto = appended.upto
            public.extend(appended.public)
        return (upto, public) if upto > cursor else None

    def forget(self, cursor: int) -> None:
        """Drop what was read from the store in the meantime."""
        for appended in [a for a in self._appended.values() if a.after < cursor]:
            self._drop(appended)

    def clear(self) -> None:
        self._appended.clear()
        self._size = 0

    def _drop(self, appended: Appended) -> None:
        del self._appended[appended.after]
        self._size -= appended.size

    def __len__(self) -> int:
        """Transactions that are kept."""
        return len(self._appended)
