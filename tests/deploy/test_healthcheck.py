"""The image's health check says what the service says, and fails when nobody answers."""

import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.deploy.files import ROOT
from tests.support.serving import Handler, serving

ANSWERS = {"/health/live": 200, "/health/ready": 503}


class Health(Handler):
    def do_GET(self) -> None:
        self.answer(ANSWERS[self.path])


@pytest.fixture
def port() -> Iterator[int]:
    with serving(Health) as url:
        yield urlsplit(url).port or 0


def check(path: str, port: int) -> int:
    command = [sys.executable, "-IS", str(ROOT / "deploy" / "healthcheck.py"), path]
    return subprocess.run(command, env={"O2C_HTTP_PORT": str(port)}, capture_output=True, check=False).returncode


def test_it_says_what_the_service_says(port: int) -> None:
    assert check("/health/live", port) == 0
    assert check("/health/ready", port) == 1


def test_it_fails_when_nobody_listens() -> None:
    assert check("/health/live", 1) == 1
