"""The collector of one kind of telemetry: whether it takes what it is sent, said in the log when that changes."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.errors import in_words

log = structlog.get_logger()

SEND_SECONDS_MAX = 5
"""How long a request to a collector may take."""


class Collector:
    """What takes `what` ("spans", "metrics"). It may be away: then what was sent is lost, and nothing else."""

    def __init__(self, endpoint: str, what: str, path: str) -> None:
        self.url = f"{endpoint.rstrip('/')}{path}"
        self.took = False
        self._what, self._away = what, False

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Around sending, which sets `took` when it arrived. An error is logged, and means that it did not."""
        self.took = False
        try:
            yield
        except Exception as error:
            log.warning(f"{self._what} are not exported", error=in_words(error))
        if self.took == self._away:
            self._away = not self.took
            log.warning(f"the collector of {self._what} is {'away' if self._away else 'back'}")
