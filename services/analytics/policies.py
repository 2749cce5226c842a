"""Analytics listens to everything that our services say and does nothing but keep rows of it."""

from collections.abc import Sequence

from services.analytics.projections import MESSAGES
from shared.contracts.messages import Message
from shared.eventsourced.decider import To
from shared.eventsourced.policy import Heard, Hears


def keep_rows_only(_: Message, __: Heard) -> Sequence[To[object]]:
    """No commands: analytics has no aggregates."""
    return ()


HEARS: Hears = {message: keep_rows_only for message in MESSAGES}
