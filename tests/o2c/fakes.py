"""A service that answers what a test says, over real HTTP on loopback."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.serving import Handler
from tests.support.serving import serving as serving_by

Answers = Mapping[str, tuple[int, Any]]
"""`GET /path?query` → (status, body); a body of bytes is sent as it is, anything else as JSON."""

MISSING = (404, {"title": "Not Found", "detail": "there is no such thing", "code": "not_found"})


@dataclass
class FakeService:
    """Notes every request, and the host it was asked by; answers 404 to those it does not know."""

    answers: dict[str, tuple[int, Any]]
    requests: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0


@contextmanager
def serving(answers: Answers, host: str = "127.0.0.1", port: int = 0) -> Iterator[FakeService]:
    """A fake service for the length of a block. `port` 0: a free one."""
    service = FakeService(dict(answers))

    class Answering(Handler):
        def do_GET(self) -> None:
            asked = f"{self.command} {self.path}"
            service.requests.append(asked)
            service.hosts.append(self.headers["Host"])
            status, body = service.answers.get(asked, service.answers.get(asked.partition("?")[0], MISSING))
            self.answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())

        do_POST = do_GET

    with serving_by(Answering, host, port) as service.url:
        yield service
