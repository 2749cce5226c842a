"""The OpenAPI document of each service: what its process serves at `/openapi.json`, without a process."""

from collections.abc import Sequence
from typing import Any, NoReturn

from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.service import Service
from shared.frame.http import build_http
from shared.frame.running import Running
from shared.settings import Settings


class NoCommands:
    """Stands where the store would be: routes are described, never called."""

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        """Never called."""
        self._refuse()

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        """Never called."""
        self._refuse()

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Never called."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError("a service that is only described decides nothing")


def openapi(service: Service, settings: Settings) -> dict[str, Any]:
    """docs/openapi/<service>.json."""
    return build_http(Running(service, settings), NoCommands()).openapi()
