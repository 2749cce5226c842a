"""Every route of every running service, fuzzed by its own OpenAPI document: nothing breaks, nothing bad is taken."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from shared.contracts.catalogue import SPEAKERS
from tests.e2e.system import System

pytestmark = pytest.mark.e2e

SERVICES = (*SPEAKERS, "analytics")
ALL_ROUTES_OF = "analytics"
"""Health, status, replay and dead letters are the same code in every service: they are fuzzed in one."""
EXAMPLES = 10
"""Made-up requests per route and phase; the coverage phase takes as many as the schema has corners."""
SECONDS_MAX = 240.0
"""Until a fuzzer that hangs is ended: all of them together take less than a minute on two free cores."""
_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_OPTIONS = (
    # All checks; the one left out is in hooks.py with what no schema can say.
    *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
    *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)),
    *("--generation-deterministic", "--continue-on-failure", "--no-shrink", "--no-color"),
)


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


@pytest.mark.parametrize("name", SERVICES)
async def test_no_request_breaks_a_service_and_every_answer_is_as_documented(
    system: System, name: str, tmp_path: Path
) -> None:
    process = system.stack.services[name].identity
    started = time.monotonic()
    complaints = await _fuzz(name, system.http_urls[name], tmp_path)
    print(f"{name}: fuzzed for {time.monotonic() - started:.0f} s")
    assert not complaints, complaints
    assert system.stack.services[name].identity == process


async def test_what_was_taken_from_the_fuzz_is_in_order_everywhere(system: System) -> None:
    """Its orders, payments, receipts and decisions went the way of all others."""
    await system.rests()
    await system.o2c("verify")
