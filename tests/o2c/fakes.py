"""A service that answers what a test says, over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answers = Mapping[str, tuple[int, Any]]
"""`GET /path?query` → (status, body); a body of bytes is sent as it is, anything else as JSON."""


class FakeService(ThreadingHTTPServer):
    """Notes every request; answers 404 to those it does not know."""

    def __init__(self, answers: Answers, host: str, port: int) -> None:
        self.answers = dict(answers)
        self.requests: list[str] = []
        self.hosts: list[str] = []
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        service = self.server
        assert isinstance(service, FakeService)
        asked = f"{self.command} {self.path}"
        service.requests.append(asked)
        service.hosts.append(self.headers["Host"])
        missing = (404, {"title": "Not Found", "detail": "there is no such thing", "code": "not_found"})
        status, body = service.answers.get(asked, service.answers.get(asked.partition("?")[0], missing))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(answers: Answers, host: str = "127.0.0.1", port: int = 0) -> Iterator[FakeService]:
    """A fake service for the length of a block. `port` 0: a free one."""
    service = FakeService(answers, host, port)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
