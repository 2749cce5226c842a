"""Every route of every running service, fuzzed by its own OpenAPI document: nothing breaks, nothing bad is taken."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.catalogue import SPEAKERS
from tests.e2e.system import System

pytestmark = pytest.mark.e2e

SERVICES = (*SPEAKERS, "analytics")
ALL_ROUTES_OF = "analytics"
"""Health, status, replay and dead letters are the same code in every service: they are fuzzed in one."""
AT_ONCE = 2
EXAMPLES = 5
"""Made-up requests per route and phase; the coverage phase takes as many as the schema has corners."""
SECONDS_MAX = 600.0
"""Until a fuzzer that hangs is ended: all of them together take less than a minute on two free cores."""
_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_OPTIONS = (
    # All checks; the one left out is in hooks.py with what no schema can say.
    *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
    *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)),
    *("--generation-deterministic", "--continue-on-failure", "--no-shrink", "--no-color"),
)


@dataclass(frozen=True)
class Fuzzed:
    """What the fuzzers had to say against each service, and which processes they were let loose on."""

    complaints: Mapping[str, str]
    processes: Mapping[str, Any]


async def _fuzz(name: str, url: str, directory: Path) -> str:
    """What schemathesis has to say against this service, "" if nothing. It never writes into the project."""
    left_out = () if name == ALL_ROUTES_OF else ("--exclude-tag", "operations")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_HERE / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", *_OPTIONS, *left_out),
        cwd=directory,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(_ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode() if process.returncode else ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fuzzed(system: System, tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    """All services, a few at a time: fuzzing is the CPU of the fuzzer above all."""
    room = asyncio.Semaphore(AT_ONCE)
    processes = {name: system.stack.services[name].identity for name in SERVICES}
    started = time.monotonic()

    async def one(name: str) -> str:
        async with room:
            complaints = await _fuzz(name, system.http_urls[name], tmp_path_factory.mktemp(name))
            print(f"{name} fuzzed at {time.monotonic() - started:.0f} s")
            return complaints

    complaints = await asyncio.gather(*map(one, SERVICES))
    return Fuzzed(dict(zip(SERVICES, complaints, strict=True)), processes)


@pytest.mark.parametrize("name", SERVICES)
async def test_no_request_breaks_a_service_and_every_answer_is_as_documented(
    system: System, fuzzed: Fuzzed, name: str
) -> None:
    assert not fuzzed.complaints[name], fuzzed.complaints[name]
    assert system.stack.services[name].identity == fuzzed.processes[name]


async def test_what_was_taken_from_the_fuzz_is_in_order_everywhere(system: System, fuzzed: Fuzzed) -> None:
    """Its orders, payments, receipts and decisions went the way of all others."""
    await system.rests()
    await system.o2c("verify")
