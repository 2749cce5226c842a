"""What can be measured: each scenario brings up a stack of its own and returns its figures."""

from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from o2c.bench.asked import Asked
    from o2c.bench.outcome import Outcome

SCENARIOS: Mapping[str, str] = MappingProxyType(
    {
        "cycle": "cycle.cycle",
        "profile": "profile.profile",
        "latency": "latency.latency",
        "http": "http.http",
        "http-light": "http.http_light",
        "http-memory": "http.http_memory",
        "hot-customer": "hot.hot_customer",
        "hot-sku": "hot.hot_sku",
        "long-order": "hot.long_order",
        "telemetry": "telemetry.telemetry",
        "start": "start.start",
        "replay": "replay.replay",
        "rebuild": "replay.rebuild",
        "replicas": "replicas.replicas",
        "replicas-asked": "replicas.replicas_asked",
        "flat": "flat.flat",
        "sustained": "sustained.sustained",
    }
)
"""Name → module and function here, in the order in which all of them are measured: the long ones last."""

FOR_KAFKA = frozenset({"replicas", "replicas-asked"})
"""On the embedded broker `all` leaves these out: its topics have one partition, which replicas cannot share."""


def scenario(name: str) -> "Callable[[Asked], Coroutine[Any, Any, Outcome]]":
    """The scenario of a name. Loaded now: no other command of `o2c` has to wait for what only measuring needs."""
    module, _, function = SCENARIOS[name].partition(".")
    loaded = getattr(import_module(f"{__name__}.{module}"), function)
    return cast("Callable[[Asked], Coroutine[Any, Any, Outcome]]", loaded)
