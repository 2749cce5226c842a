"""Fixtures of the fault suite: one system for all cases that leave it whole, on Apache Kafka where it can be had."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.faults.harness import FIGURES, System
from tests.support.brokers import Choice, why_no_kafka
from tests.support.homes import temporary_home

CASES_MAX = 5
"""A system is used for so many cases: proving reads all that is in the stores, so it takes longer with every case."""


class Shared:
    """The system of the suite: made when it is first needed, and anew after a case that did not leave it whole."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._stack = AsyncExitStack()
        self._system: System | None = None
        self._cases = 0

    async def get(self) -> System:
        """The system, up and whole."""
        if self._system is not None and (not self._system.whole or self._cases >= CASES_MAX):
            await self.close()
        self._cases += 1
        if self._system is None:
            home = self._stack.enter_context(temporary_home())
            self._system = await self._stack.enter_async_context(System.up(home, self.broker))
        return self._system

    async def close(self) -> None:
        """Take it down."""
        self._system, self._cases = None, 0
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared(broker_choice: Choice) -> AsyncIterator[Shared]:
    """Whoever keeps the suite's system."""
    kafka = broker_choice.kind == "kafka" or (broker_choice.kind != "embedded" and not why_no_kafka())
    if not kafka and os.environ.get("O2C_REQUIRE_KAFKA") == "1":
        pytest.fail(f"O2C_REQUIRE_KAFKA=1, and the suite cannot start Apache Kafka: {why_no_kafka()}")
    keeper = Shared("kafka" if kafka else "embedded")
    try:
        yield keeper
    finally:
        await keeper.close()


@pytest_asyncio.fixture(loop_scope="session")
async def system(shared: Shared) -> System:
    """The whole system, up and in order."""
    return await shared.get()


@pytest.fixture
def on_kafka(shared: Shared) -> None:
    """Only Apache Kafka can do what this case needs (the embedded broker keeps nothing over a restart)."""
    if shared.broker != "kafka":
        pytest.skip("needs Apache Kafka")


def figures_in(reports: list[pytest.TestReport]) -> Iterator[str]:
    """What the cases of a run have printed of orders, ids and faults."""
    for report in reports:
        if report.when == "call":
            yield from (
                line.removeprefix(FIGURES) for line in report.capstdout.splitlines() if line.startswith(FIGURES)
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of every case, so that a green run says what it has proven."""
    lines = list(figures_in(terminalreporter.getreports("passed")))
    if lines:
        terminalreporter.section("figures of the fault suite")
        for line in lines:
            terminalreporter.line(line)
