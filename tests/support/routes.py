"""Applications of a service's routes for tests: made once per service, asked by each test with commands of its own."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from shared.eventsourced.commands import Commands
from shared.http import install_problems

Routes = Callable[[Commands], APIRouter]
_COMMANDS = ContextVar[Any]("commands")


class _OfTheRequest:
    """Commands for routes: those of the test that asks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_COMMANDS.get(), name)


@cache
def _application(routes: Routes) -> FastAPI:
    """FastAPI reads every signature again for each application: a tenth of a second that a module pays once."""
    application = FastAPI()
    install_problems(application)
    application.include_router(routes(_OfTheRequest()))  # type: ignore[arg-type]
    return application


def answering(routes: Routes, commands: Any) -> Callable[..., Any]:
    """An ASGI application of these routes over these commands. `routes`: the same function object in every test."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        token = _COMMANDS.set(commands)
        try:
            await _application(routes)(scope, receive, send)
        finally:
            _COMMANDS.reset(token)

    return application


def client_of(routes: Routes, commands: Any) -> httpx.AsyncClient:
    """A client for tests that are coroutines."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(answering(routes, commands)), base_url="http://test")


def plain_client_of(routes: Routes, commands: Any) -> TestClient:
    """A client for tests that are not."""
    return TestClient(answering(routes, commands))
