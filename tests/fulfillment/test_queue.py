"""First come first served, whatever happens in the middle of the line."""

from hypothesis import given
from hypothesis import strategies as st

from services.fulfillment.domain.queue import NOBODY, Queue

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add_first", "take"]), st.sampled_from("ABCDE"), st.integers(1, 5)), max_size=40
)


def in_line(queue: Queue) -> list[tuple[str, int]]:
    """From first to last, checking the way back at every step."""
    found: list[tuple[str, int]] = []
    order_id, before = queue.first, NOBODY
    while order_id != NOBODY:
        place = queue.places[order_id]
        assert place.before == before
        found.append((order_id, place.quantity))
        order_id, before = place.after, order_id
    assert queue.last == before
    assert len(found) == len(queue.places)
    return found


@given(STEPS)
def test_it_is_a_list_of_orders_with_positive_quantities(steps: list[tuple[str, str, int]]) -> None:
    queue, model = Queue(), list[tuple[str, int]]()
    for step, order_id, quantity in steps:
        known = dict(model).get(order_id, 0)
        assert queue.quantity_of(order_id) == known
        if step == "add":
            queue = queue.add(order_id, quantity)
            if known:
                model = [(o, q + quantity if o == order_id else q) for o, q in model]
            else:
                model.append((order_id, quantity))
        elif step == "add_first":
            queue = queue.add_first(order_id, quantity)
            model = [(order_id, known + quantity), *[(o, q) for o, q in model if o != order_id]]
        elif known:
            taken = min(known, quantity)
            queue = queue.take(order_id, taken)
            model = [(o, q - taken if o == order_id else q) for o, q in model]
            model = [(o, q) for o, q in model if q]
        assert in_line(queue) == model
