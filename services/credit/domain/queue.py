"""Orders that wait for credit, in the order they came: the credit account asks here for the oldest one that fits.

A tree over arrival numbers that knows the smallest amount beneath every node. So joining, leaving and finding the
oldest order within an amount all cost the height of the tree (and its fan-out), however many orders wait.
"""

from shared.values import Map, Value

_FAN_OUT_BITS = 3
_FAN_OUT = 1 << _FAN_OUT_BITS
_HEIGHT = 11
"""8¹¹ ≈ 8.6 billion arrivals per account; numbers are never used again."""
_LEVEL_BITS = _FAN_OUT_BITS * _HEIGHT
_ROOT = _HEIGHT << _LEVEL_BITS


class Waiting(Value, frozen=True, gc=False):
    """The oldest order that fits: its number in the queue, its id and amount in minor units."""

    number: int
    order_id: str
    amount_minor: int


class Queue(Value, frozen=True, gc=False):
    """`smallest`: node → smallest amount beneath it; a node is its level and its place in the level in one integer."""

    last: int = 0
    order_ids: Map[int, str] = Map()
    smallest: Map[int, int] = Map()

    def joined(self, order_id: str, amount_minor: int) -> "Queue":
        """The queue with one more order at its end; its number is the new `last`."""
        number = self.last + 1
        with self.smallest.mutate() as smallest:
            for level in range(_HEIGHT + 1):
                node = _node(level, number)
                if amount_minor >= smallest.get(node, amount_minor + 1):
                    break
                smallest[node] = amount_minor
            finished = smallest.finish()
        return Queue(number, self.order_ids.set(number, order_id), finished)

    def left(self, number: int) -> "Queue":
        """The queue without the order of this number, which must be in it."""
        with self.smallest.mutate() as smallest:
            del smallest[number]
            for level in range(1, _HEIGHT + 1):
                node = _node(level, number)
                amounts = [a for child in _children(node) if (a := smallest.get(child)) is not None]
                if not amounts:
                    del smallest[node]
                elif smallest[node] == (least := min(amounts)):
                    break
                else:
                    smallest[node] = least
            finished = smallest.finish()
        return Queue(self.last, self.order_ids.delete(number), finished)

    def oldest_within(self, amount_minor: int) -> Waiting | None:
        """The order that came first among those of at most this amount; None if there is none."""
        if self.smallest.get(_ROOT, amount_minor + 1) > amount_minor:
            return None
        node = _ROOT
        while node >> _LEVEL_BITS:
            node = next(c for c in _children(node) if self.smallest.get(c, amount_minor + 1) <= amount_minor)
        return Waiting(node, self.order_ids[node], self.smallest[node])


def _node(level: int, number: int) -> int:
    return level << _LEVEL_BITS | number >> level * _FAN_OUT_BITS


def _children(node: int) -> range:
    level, place = node >> _LEVEL_BITS, node & (1 << _LEVEL_BITS) - 1
    first = level - 1 << _LEVEL_BITS | place << _FAN_OUT_BITS
    return range(first, first + _FAN_OUT)
