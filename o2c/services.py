"""The services' HTTP faces as the operator's commands need them."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from shared.answers import problem_said
from shared.errors import ConflictError, DomainError, NotFoundError, UnavailableError, in_words
from shared.replicas import Replica, Resolve, replicas_of

ANSWER_SECONDS_MAX = 10.0
"""Longer than a service itself waits for its store: who has not answered by then hangs, or is not there."""

REBUILD_SECONDS_MAX = 1_800.0
"""The answer to a rebuild comes at its end, which takes as long as the store is large."""


class Services:
    """Asks services by name. Their problems come back as errors: NotFound, Conflict, Domain, Unavailable."""

    def __init__(self, http_urls: Mapping[str, str]) -> None:
        self._urls = dict(http_urls)
        # No proxy of the environment knows our services' addresses.
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    @property
    def names(self) -> tuple[str, ...]:
        """The services that can be asked."""
        return tuple(self._urls)

    async def get(self, service: str, path: str, **params: Any) -> Any:
        """The JSON that a path of a service answers."""
        given = {name: value for name, value in params.items() if value is not None}
        return _json(service, await self._response(service, "GET", path, params=given))

    async def post(
        self,
        service: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        seen: str | None = None,
        seconds_max: float | None = None,
    ) -> Any:
        """Ask a service to do something; the JSON it answers.

        `seen`: the ETag that this is decided on (If-Match); `seconds_max`: what is waited for the answer, by default
        ANSWER_SECONDS_MAX.
        """
        headers = {} if seen is None else {"If-Match": seen}
        timeout = httpx.USE_CLIENT_DEFAULT if seconds_max is None else httpx.Timeout(seconds_max)
        response = await self._response(service, "POST", path, json=body, headers=headers, timeout=timeout)
        return _json(service, response)

    async def put(self, service: str, path: str, *, body: Mapping[str, Any]) -> Any:
        """Have a service take this as the new content of a path; the JSON it answers."""
        return _json(service, await self._response(service, "PUT", path, json=body))

    async def etag(self, service: str, path: str) -> str:
        """The ETag of what is there, to be handed to `post` as `seen`."""
        response = await self._response(service, "GET", path)
        return str(response.headers.get("ETag", ""))

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """`GET /status` of every service at once; `{"unreachable": reason}` for one that does not answer."""
        answers = await asyncio.gather(*(self._status(name, Replica(url)) for name, url in self._urls.items()))
        return dict(zip(self._urls, answers, strict=True))

    async def statuses_of_replicas(self, resolve: Resolve | None = None) -> dict[str, list[dict[str, Any]]]:
        """As `statuses`, of every replica: at each IP address that the name of a service leads to.

        `address`: which one of them answered, "" where the service has only one.
        """
        answers = await asyncio.gather(*(self._statuses_of(name, resolve) for name in self._urls))
        return dict(zip(self._urls, answers, strict=True))

    async def _statuses_of(self, service: str, resolve: Resolve | None) -> list[dict[str, Any]]:
        replicas = await replicas_of(self._urls[service], resolve)
        answers = await asyncio.gather(*(self._status(service, replica) for replica in replicas))
        return [{"address": each.address, **answer} for each, answer in zip(replicas, answers, strict=True)]

    async def _status(self, service: str, replica: Replica) -> dict[str, Any]:
        try:
            response = await self._response_at(service, replica.url, "GET", "/status", **replica.options)
            answer: dict[str, Any] = _json(service, response)
        except UnavailableError as error:
            return {"service": service, "unreachable": error.message}
        return answer

    async def _response(self, service: str, method: str, path: str, **options: Any) -> httpx.Response:
        url = self._urls.get(service)
        if url is None:
            raise NotFoundError(f"there is no service {service!r}; there are {', '.join(self._urls)}")
        return await self._response_at(service, url, method, path, **options)

    async def _response_at(self, service: str, url: str, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._client.request(method, url + path, **options)
        except httpx.TimeoutException as error:
            raise UnavailableError(
                f"{service} gives no answer at {url} in time: its process or its machine hangs, or is busy "
                "(docs/runbooks/ConsumerStuck.md)" + ("" if method == "GET" else "; what was asked may still be done")
            ) from error
        except httpx.TransportError as error:
            raise UnavailableError(f"{service} does not answer at {url}: {in_words(error)}") from error
        if response.is_error:
            raise _problem(service, response)
        return response


def _json(service: str, response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise UnavailableError(f"{response.url} answers something that is not JSON: is it {service}?") from error


def _problem(service: str, response: httpx.Response) -> Exception:
    """A problem as the error it came from."""
    problem = problem_said(response)
    detail = f"{service}: {problem.detail}" if problem.detail else f"{service} answers {problem.line}"
    match problem.status:
        case 404:
            return NotFoundError(detail)
        case 409 | 412:
            return ConflictError(detail)
        case status if status >= 500:
            return UnavailableError(detail)
        case _:
            return DomainError(detail)
