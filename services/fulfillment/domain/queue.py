"""Quantities of orders in a line, first come first served: who holds a product's stock and who waits for it.

A doubly linked list in a persistent map: adding at either end, taking from anywhere and finding an order cost
O(log n), however many orders stand in line.
"""

from shared.eventsourced.facts import State
from shared.values import Map, evolved

NOBODY = ""
"""What stands before the first order and after the last; no order has this id."""


class Place(State, frozen=True, gc=False):
    """An order's quantity and its neighbours: who came `before` it and who came `after`."""

    quantity: int
    before: str
    after: str


class Queue(State, frozen=True, gc=False):
    """Orders in line, each once, from `first` (oldest) to `last` (youngest)."""

    first: str = NOBODY
    last: str = NOBODY
    places: Map[str, Place] = Map()

    def quantity_of(self, order_id: str) -> int:
        """How much this order has in line; 0 when it is not in it."""
        place = self.places.get(order_id)
        return 0 if place is None else place.quantity

    def add(self, order_id: str, quantity: int) -> "Queue":
        """The order joins at the end; one that is in line already keeps its place and has more."""
        place = self.places.get(order_id)
        if place is not None:
            return self._with_quantity(order_id, place, place.quantity + quantity)
        places = self.places.set(order_id, Place(quantity, self.last, NOBODY))
        if self.last == NOBODY:
            return Queue(order_id, order_id, places)
        return Queue(self.first, order_id, places.set(self.last, evolved(self.places[self.last], after=order_id)))

    def add_first(self, order_id: str, quantity: int) -> "Queue":
        """The order joins before all others; one that is in line already moves there and has more."""
        known = self.quantity_of(order_id)
        rest = self.take(order_id, known) if known else self
        places = rest.places.set(order_id, Place(known + quantity, NOBODY, rest.first))
        if rest.first == NOBODY:
            return Queue(order_id, order_id, places)
        return Queue(order_id, rest.last, places.set(rest.first, evolved(rest.places[rest.first], before=order_id)))

    def take(self, order_id: str, quantity: int) -> "Queue":
        """The order has this much less; with nothing left it leaves the line."""
        place = self.places[order_id]
        assert quantity <= place.quantity, "more is taken than the order has in line"
        if quantity < place.quantity:
            return self._with_quantity(order_id, place, place.quantity - quantity)
        return self._without(order_id, place)

    def _with_quantity(self, order_id: str, place: Place, quantity: int) -> "Queue":
        return Queue(self.first, self.last, self.places.set(order_id, Place(quantity, place.before, place.after)))

    def _without(self, order_id: str, place: Place) -> "Queue":
        places = self.places.delete(order_id)
        first, last = self.first, self.last
        if place.before == NOBODY:
            first = place.after
        else:
            places = places.set(place.before, evolved(places[place.before], after=place.after))
        if place.after == NOBODY:
            last = place.before
        else:
            places = places.set(place.after, evolved(places[place.after], before=place.before))
        return Queue(first, last, places)
