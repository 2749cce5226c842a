"""Wall clocks that are wrong, jump and pass a change of daylight saving time, under load: no promise goes by them."""

import ast
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from o2c.stack import SERVICES
from shared.settings import Settings
from tests.faults.harness import System, case

HOUR = 3_600.0
APART = 300.0
ROOT = Path(__file__).parents[2]
READS_THE_WALL_CLOCK = {
    "services/order/api.py",  # when an order without an instant of its own was placed
    "services/receivables/app.py",  # the day on which a person's decision takes effect
    "shared/eventsourced/deciding.py",  # when a fact was recorded
    "shared/frame/running.py",  # since when the process runs, for /status
    "services/analytics/pages/figures.py",  # what is shown to people as of now; nothing of it is stored
    "services/analytics/pages/live.py",
    "services/analytics/pages/rendering.py",
    "shared/telemetry/batches.py",  # when a span began and ended; of metrics, how long orders have waited
    "shared/telemetry/otlp.py",
    "shared/telemetry/requests.py",
    "shared/telemetry/stages.py",
}


@pytest.mark.faults
async def test_clocks_that_are_apart_jump_and_pass_daylight_saving_time_neither_lose_nor_double(
    system: System,
) -> None:
    zone = ZoneInfo(Settings().billing_time_zone)
    changes = _changes(zone, datetime.now(UTC).year + 1)
    assert len(changes) == 2
    async with case(system, "clocks") as run, system.replica("order"):
        try:
            system.set_clock("order-2", APART)  # two replicas of one service, five minutes apart
            for n, name in enumerate(run.random.sample(SERVICES, len(SERVICES))):
                system.set_clock(name, APART if n % 2 else -APART)
            run.note("hosts five and ten minutes apart")
            steps: list[float | datetime] = [HOUR, 0.0, -HOUR, changes[0], 0.0, changes[1], HOUR, -HOUR, 0.0]
            async for n in run.moments(len(steps)):
                await _jump(system, steps[n])
                run.note(f"clocks at {steps[n]}")
            await run.end()
        finally:
            for name in (*SERVICES, "order-2"):
                system.set_clock(name, 0)


async def _jump(system: System, to: float | datetime) -> None:
    """So many seconds ahead of the true time, or over this instant, which comes two seconds later."""
    change = isinstance(to, datetime)
    ahead = (to - datetime.now(UTC)).total_seconds() - 2 if isinstance(to, datetime) else to
    for name in SERVICES:
        system.set_clock(name, ahead)
    if change:
        await asyncio.sleep(2)


def _changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The instants of a year, to the hour, at which the zone's offset changes."""
    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    hours = [datetime.fromtimestamp(begin + n * 3_600, UTC) for n in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hour for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False) if before != after]


def test_the_wall_clock_is_read_in_these_places_only() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and _is_wall_clock(node)
    }
    assert found == READS_THE_WALL_CLOCK


def _is_wall_clock(node: ast.Attribute) -> bool:
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    return (owner, node.attr) in {
        ("time", "time"),
        ("time", "time_ns"),
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("date", "today"),
    }
