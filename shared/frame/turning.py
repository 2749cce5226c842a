"""Whether the loops that take from Kafka are alive and turn: their part of what /health/live says."""

import time
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

STILL_SECONDS_MAX = 300.0
"""A loop may stand still for so long: longer than a batch waits for a fault to pass before it is handed back, and as
long as the group waits for a poll before it gives our partitions to others (`shared.eventsourced.consumer`)."""


class ConsumingLoop:
    """The loop of one started subscriber, seen from outside.

    It polls many times a second, also when nothing comes and while Kafka is away; a poll that returned is its sign of
    life. `worked_at`: when its handler last began an attempt (monotonic seconds): waiting for the database is no
    standstill either. `on_idle`: called after every poll that brought nothing.
    """

    def __init__(
        self,
        subscriber: Any,
        *,
        worked_at: Callable[[], float] = lambda: 0.0,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._subscriber, self._worked_at = subscriber, worked_at
        self.turned_at = time.monotonic()
        poll = subscriber.consumer.getmany

        async def getmany(*args: Any, **options: Any) -> Any:
            try:
                records = await poll(*args, **options)
            except KafkaError:
                self.turned_at = time.monotonic()
                raise
            self.turned_at = time.monotonic()
            if not records:
                on_idle()
            return records

        subscriber.consumer.getmany = getmany

    def excuse(self) -> None:
        """Kafka is known to be away: committing a batch waits for it without end, which is no standstill."""
        self.turned_at = time.monotonic()

    def fault(self) -> str:
        """What is wrong with it for good; "" when nothing is."""
        if all(task.done() for task in self._subscriber.tasks):  # one that raised is started again by FastStream
            return "ended"
        if _left_for_good(self._subscriber.consumer):
            return "has left its group for good"
        still = time.monotonic() - max(self.turned_at, self._worked_at())
        return f"has not turned for {still:.0f} s" if still > STILL_SECONDS_MAX else ""


def _left_for_good(client: Any) -> bool:
    """Whether a task of aiokafka's that nobody starts again has ended by an error: the one that joins the group, says
    that we live, asks how far the group has heard, or fetches. The loop goes on, and takes nothing ever."""
    coordinator = client._coordinator
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    tasks = [getattr(coordinator, name, None) for name in names] + [client._fetcher._fetch_task]
    return any(task and task.done() and not task.cancelled() and task.exception() for task in tasks)
