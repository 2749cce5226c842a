"""Every route of every running service, fuzzed by its own OpenAPI document: nothing breaks, nothing bad is taken.

The system has a history by then, and requests can succeed: an operation that only ever refuses shows nothing of what
lies behind its look-ups.
"""

import asyncio
import json
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
from tests.fuzz.known import Requests, play
from tests.fuzz.letters import drop_letters

pytestmark = pytest.mark.e2e

SERVICES = (*SPEAKERS, "analytics")
OPERATIONS = "operations"
ALL_ROUTES_OF = ("analytics", "billing")
"""Health, status, replay and dead letters are the same code in every service: they are fuzzed in one that keeps what
others said, and in one that speaks itself, which rebuild in different ways."""
PASSES = ("examples", "coverage,fuzzing,stateful")
"""Phases that all services go through before any begins the next: examples do what is known to succeed; what is made up
afterwards, with ids that schemathesis finds in answers, may take the ground from under it in another service."""
AT_ONCE = 2
EXAMPLES = 5
"""Made-up requests per route and phase; the coverage phase takes as many as the schema has corners."""
SECONDS_MAX = 600.0
"""Until a fuzzer that hangs is ended: all of them together take about a minute."""
_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_OPTIONS = (
    # All checks; the one left out is in hooks.py with what no schema can say.
    *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
    *("--max-examples", str(EXAMPLES), "--generation-deterministic"),
    *("--continue-on-failure", "--no-shrink", "--no-color"),
)


@dataclass(frozen=True)
class Fuzzing:
    """What a fuzzer had to say against a service, "" if nothing, and which operations took something that was valid."""

    complaints: str = ""
    succeeded: frozenset[str] = frozenset()

    def __add__(self, more: "Fuzzing") -> "Fuzzing":
        return Fuzzing(self.complaints + more.complaints, self.succeeded | more.succeeded)


@dataclass(frozen=True)
class Fuzzed:
    """What came of each service, and which processes the fuzzers were let loose on."""

    fuzzings: Mapping[str, Fuzzing]
    processes: Mapping[str, Any]


async def _fuzz(name: str, url: str, phases: str, directory: Path, known: Requests) -> Fuzzing:
    """Let schemathesis loose on this service. It never writes into the project."""
    left_out = () if name in ALL_ROUTES_OF else ("--exclude-tag", OPERATIONS)
    report = directory / "report.json"
    requests = directory / "known.json"
    requests.write_text(json.dumps(known))
    environment = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(_ROOT), "O2C_FUZZ_KNOWN": str(requests)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_HERE / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", *_OPTIONS, *left_out, "--phases", phases),
        *("--report-json-path", str(report)),
        cwd=directory,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Fuzzing(output.decode() if process.returncode else "", _succeeded(report))


def _succeeded(report: Path) -> frozenset[str]:
    """The operations that answered a request that meets its schema with success, in whatever phase."""
    if not report.exists():
        return frozenset()  # it ended before it began, and says why
    rates = json.loads(report.read_text())["valid_rates"]
    return frozenset(name for name, phases in rates.items() if any(rate["accepted"] for rate in phases.values()))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fuzzed(system: System, tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    """All services, a few at a time: fuzzing is the CPU of the fuzzer above all."""
    room = asyncio.Semaphore(AT_ONCE)
    processes = {name: system.stack.services[name].identity for name in SERVICES}
    started = time.monotonic()
    known = await play(system)
    print(f"played for {time.monotonic() - started:.0f} s")

    async def one(name: str, phases: str) -> Fuzzing:
        async with room:
            url, directory = system.http_urls[name], tmp_path_factory.mktemp(name)
            fuzzing = await _fuzz(name, url, phases, directory, known[name])
            print(f"{phases} of {name} at {time.monotonic() - started:.0f} s")
            return fuzzing

    fuzzings = dict.fromkeys(SERVICES, Fuzzing())
    for phases in PASSES:
        for name, more in zip(SERVICES, await asyncio.gather(*(one(each, phases) for each in SERVICES)), strict=True):
            fuzzings[name] += more
    return Fuzzed(fuzzings, processes)


@pytest.mark.parametrize("name", SERVICES)
async def test_no_request_breaks_a_service_and_every_answer_is_as_documented(
    system: System, fuzzed: Fuzzed, name: str
) -> None:
    assert not fuzzed.fuzzings[name].complaints, fuzzed.fuzzings[name].complaints
    assert system.stack.services[name].identity == fuzzed.processes[name]


@pytest.mark.parametrize("name", SERVICES)
async def test_every_operation_has_done_what_it_is_for_at_least_once(system: System, fuzzed: Fuzzed, name: str) -> None:
    document = await system.get(name, "/openapi.json")
    fuzzable = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if name in ALL_ROUTES_OF or OPERATIONS not in operation.get("tags", ())
    }
    refused = fuzzable - fuzzed.fuzzings[name].succeeded
    assert not refused, f"{name} refused whatever was asked of {sorted(refused)}"


async def test_what_was_taken_from_the_fuzz_is_in_order_everywhere(system: System, fuzzed: Fuzzed) -> None:
    """Its orders, payments, receipts and decisions went the way of all others."""
    await drop_letters(system)
    await system.rests()
    await system.o2c("verify")
