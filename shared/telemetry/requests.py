"""HTTP requests, counted and timed by route; those of sampled traces have a span that what they lead to hangs below."""

import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.telemetry.histogram import SECONDS, Histogram
from shared.tracing import REQUEST, Request, child_of, is_sampled, traceparent_of

if TYPE_CHECKING:
    from shared.telemetry.spans import Spans

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "_OTHER"
"""In place of any other method: what callers make up shall not become labels."""

QUIET = ("/metrics", "/health/live", "/health/ready")
"""Asked by machines every few seconds: counted, but no span of its own."""


class RequestFigures:
    """Seconds by (method, route, status), and how many are under way. A path that no route has counts as ""."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str, str], Histogram] = {}
        self.active = 0

    def done(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        key = (method if method in METHODS else OTHER, route, str(status))
        histogram = self.seconds.get(key)
        if histogram is None:
            histogram = self.seconds[key] = Histogram(SECONDS)
        histogram.add(seconds)


class Requests:
    """ASGI middleware, the outermost. With `spans`, the traceparent that routes see is that of the request's span."""

    def __init__(self, app: ASGIApp, figures: RequestFigures, spans: "Spans | None") -> None:
        self._app, self._figures, self._spans = app, figures, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the server answers when the application raises

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent, request = self._begin(scope)
        started, began = time.time_ns(), time.perf_counter()
        self._figures.active += 1
        token = REQUEST.set(request)
        try:
            await self._app(scope, receive, noted)
            REQUEST.reset(token)  # not when it raised: then the server, in the same task, has yet to log that
        finally:
            self._figures.active -= 1
            route = getattr(scope.get("route"), "path_format", "")
            self._figures.done(scope["method"], route, status, time.perf_counter() - began)
            if request is not None and is_sampled(request.trace):
                self._record(scope, route, status, started, parent, request.trace)

    def _begin(self, scope: Scope) -> tuple[str, Request | None]:
        """(the caller's context, the request's own). Without spans the caller's goes on to the routes as it is."""
        if self._spans is None or scope["path"] in QUIET:
            return "", None
        headers = scope["headers"]
        parent = traceparent_of(next((value for name, value in headers if name == b"traceparent"), None))
        if not parent:
            return "", Request()
        own = child_of(parent)
        others = [header for header in headers if header[0] != b"traceparent"]
        scope["headers"] = [*others, (b"traceparent", own.encode("ascii"))]
        return parent, Request(own)

    def _record(self, scope: Scope, route: str, status: int, started: int, parent: str, trace: str) -> None:
        from shared.telemetry.spans import Span  # only who exports loads what that needs

        assert self._spans is not None
        method = scope["method"] if scope["method"] in METHODS else OTHER
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "url.scheme": scope.get("scheme", "http"),
        }
        name = f"{method} {route}".strip()
        fault = str(status) if status >= 500 else ""
        self._spans.put(Span(name, "server", trace, parent, started, time.time_ns(), attributes, (), fault))
