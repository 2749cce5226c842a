"""The image's health check says what the service says, and fails when nobody answers."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.deploy.files import ROOT

ANSWERS = {"/health/live": 200, "/health/ready": 503}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(ANSWERS[self.path])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def check(path: str, port: int) -> int:
    command = [sys.executable, "-IS", str(ROOT / "deploy" / "healthcheck.py"), path]
    return subprocess.run(command, env={"O2C_HTTP_PORT": str(port)}, capture_output=True, check=False).returncode


def test_it_says_what_the_service_says(port: int) -> None:
    assert check("/health/live", port) == 0
    assert check("/health/ready", port) == 1


def test_it_fails_when_nobody_listens() -> None:
    assert check("/health/live", 1) == 1
