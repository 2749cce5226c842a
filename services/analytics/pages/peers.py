"""The other services as the pages need them: asked over their public HTTP API, with an end to every wait."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from shared.answers import problem_said
from shared.replicas import Replica, Resolve, replicas_of

READ_SECONDS_MAX = 3.0
"""A page must not hang on a service that does: what is not there by then is shown as away."""
ACT_SECONDS_MAX = 10.0
CONNECT_SECONDS_MAX = 1.0
CONNECTIONS_MAX = 20


class PeerError(Exception):
    """A service that did not do what it was asked, as far as is known. `status` 0: it did not answer at all.

    `reached`: whether it may have heard what was asked.
    """

    def __init__(
        self,
        service: str,
        status: int,
        detail: str,
        reasons: tuple[tuple[str, str], ...] = (),
        *,
        reached: bool = False,
    ) -> None:
        super().__init__(detail)
        self.service, self.status, self.detail, self.reasons = service, status, detail, reasons
        self._reached = reached

    @property
    def is_refusal(self) -> bool:
        """Whether the service understood and said no, rather than being away or broken."""
        return 400 <= self.status < 500

    @property
    def may_be_done(self) -> bool:
        """Whether what was asked for may be done all the same: it was heard, and not refused."""
        return self._reached and not self.is_refusal


class Peers:
    """Asks services by name. Every call raises PeerError when the service is away, refuses or answers nonsense.

    `urls`: who does what is asked; `replica_urls`: names that lead to every replica, to be asked how each is.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        replica_urls: Mapping[str, str] | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._urls = dict(urls)
        self._replica_urls = {**urls, **(replica_urls or {})}
        self._transport, self._resolve = transport, resolve
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The services whose addresses are known."""
        return tuple(self._urls)

    async def close(self) -> None:
        """Drop the connections."""
        self._closed = True
        if self._client is not None:
            await self._client.aclose()

    async def get(self, service: str, *path: str, **params: Any) -> Any:
        """The JSON that a path answers. The path is given in its parts, which are quoted here."""
        return (await self.seen(service, *path, **params))[0]

    async def seen(self, service: str, *path: str, **params: Any) -> tuple[Any, str]:
        """The JSON that a path answers, and its ETag: to be handed to `post` with what was decided on it."""
        given = {name: value for name, value in params.items() if value is not None}
        response = await self._response(service, "GET", path, READ_SECONDS_MAX, params=given)
        return _json(service, response), response.headers.get("ETag", "")

    async def of_replicas(self, service: str, *path: str) -> dict[str, Any]:
        """IP address → the JSON that this replica answers, or the PeerError why not; "" where there is only one."""
        found = await replicas_of(self._replica_urls[service], self._resolve)
        answers = await asyncio.gather(*(self._of(service, each, path) for each in found))
        return {each.address: answer for each, answer in zip(found, answers, strict=True)}

    async def _of(self, service: str, replica: Replica, path: tuple[str, ...]) -> Any:
        try:
            url, options = replica.url, replica.options
            return _json(service, await self._response_at(service, url, "GET", path, READ_SECONDS_MAX, **options))
        except PeerError as error:
            return error

    async def post(
        self, service: str, *path: str, body: Mapping[str, Any] | None = None, etag: str = "", trace: str = ""
    ) -> Any:
        """Ask a service to do something; the JSON it answers. `etag`: what the decision was made on (If-Match)."""
        headers = {name: value for name, value in (("If-Match", etag), ("traceparent", trace)) if value}
        return _json(service, await self._response(service, "POST", path, ACT_SECONDS_MAX, json=body, headers=headers))

    async def _response(
        self, service: str, method: str, path: tuple[str, ...], seconds_max: float, **options: Any
    ) -> httpx.Response:
        url = self._urls.get(service)
        if url is None:
            raise PeerError(service, 0, f"the address of {service} is not known: set O2C_SERVICE_URLS")
        return await self._response_at(service, url, method, path, seconds_max, **options)

    async def _response_at(
        self, service: str, url: str, method: str, path: tuple[str, ...], seconds_max: float, **options: Any
    ) -> httpx.Response:
        if self._closed:
            raise PeerError(service, 0, "this page's own service is stopping")
        if self._client is None:  # made inside the running loop, not when the service is only described
            self._client = httpx.AsyncClient(
                transport=self._transport,
                trust_env=False,  # no proxy of the environment knows our services
                timeout=httpx.Timeout(seconds_max, connect=CONNECT_SECONDS_MAX),
                limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            )
        whole = url + "".join(f"/{quote(part, safe='')}" for part in path)
        try:
            async with asyncio.timeout(seconds_max):
                response = await self._client.request(method, whole, timeout=seconds_max, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL) as error:
            raise PeerError(service, 0, f"{service} does not answer ({type(error).__name__})") from error
        except (httpx.HTTPError, TimeoutError) as error:
            slow = isinstance(error, httpx.TimeoutException | TimeoutError)
            how = "in time" if slow else f"({type(error).__name__})"
            raise PeerError(service, 0, f"{service} does not answer {how}", reached=True) from error
        if response.is_error:
            problem = problem_said(response)
            detail = problem.detail or f"{service} answers {problem.line}"
            raise PeerError(service, problem.status, detail, problem.reasons, reached=True)
        return response


def _json(service: str, response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise PeerError(service, 0, f"{service} answers something that is not JSON", reached=True) from error
