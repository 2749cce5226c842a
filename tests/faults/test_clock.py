"""Wall clocks that are wrong, jump and pass a change of daylight saving time, under load: no promise goes by them.

Moved are the clocks of the services' hosts, as their processes read them (`READS_THE_WALL_CLOCK`). Those of PostgreSQL,
which says since when something waits and when a dead letter is old, of Kafka, by which records expire, and of the
outside world, which dates orders, shipments and payments, stay right.
"""

import ast
import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from o2c.stack import SERVICES
from shared.settings import Settings
from tests.faults.harness import Case, System, case, until

HOUR = 3_600.0
APART = 300.0
PASSING = timedelta(seconds=1)
NEAR = timedelta(minutes=20)
RATE = 60.0
"""Orders per second: slow enough that there are some to confirm on every evening."""
ROOT = Path(__file__).parents[2]
READS_THE_WALL_CLOCK = {
    "services/order/api.py",  # when an order without an instant of its own was placed
    "services/receivables/app.py",  # the day on which a person's decision takes effect
    "shared/eventsourced/deciding.py",  # when a fact was recorded
    "shared/eventsourced/standing_by.py",  # who of a group is the eldest
    "shared/frame/running.py",  # since when the process runs, for /status
    "services/analytics/pages/figures.py",  # what is shown to people as of now; nothing of it is stored
    "services/analytics/pages/live.py",
    "services/analytics/pages/rendering.py",
    "shared/telemetry/batches.py",  # when a span began and ended; of metrics, how long orders have waited
    "shared/telemetry/otlp.py",
    "shared/telemetry/requests.py",
    "shared/telemetry/stages.py",
}

_CONFIRMED = """
SELECT order_id, confirmed_at, payment_terms_days FROM orders JOIN customers USING (customer_id)
WHERE order_id = ANY ($1)
"""
_INVOICES = """
SELECT order_id, number, issued_on, due_on FROM invoices WHERE order_id = ANY ($1) AND shipment_id = ''
"""


@dataclass
class _Hosts:
    """The services' hosts, each of which is wrong by minutes of its own, wherever its clock jumps to."""

    system: System
    apart: dict[str, float]

    def jump(self, ahead: float, *names: str) -> None:
        """Move these hosts (all, if none is named) so many seconds ahead of the true time, and of their own error."""
        for name in names or self.apart:
            self.system.set_clock(name, ahead + self.apart[name])

    def jump_to(self, instant: datetime) -> None:
        """Let it be this instant, give or take five minutes."""
        self.jump((instant - datetime.now(UTC)).total_seconds())

    def right(self) -> None:
        """Set all clocks right."""
        for name in self.apart:
            self.system.set_clock(name, 0)


def _hosts(system: System, random: Random) -> _Hosts:
    """A third of them behind, a third right, a third ahead; and two replicas of one service, apart, too."""
    apart = {name: (n % 3 - 1) * APART for n, name in enumerate(random.sample(SERVICES, len(SERVICES)))}
    return _Hosts(system, {**apart, "order-2": apart["order"] + APART})


@pytest.mark.faults
async def test_clocks_that_are_apart_jump_and_pass_daylight_saving_time_neither_lose_nor_double(
    system: System,
) -> None:
    zone = ZoneInfo(Settings().billing_time_zone)
    spring, autumn = _changes(zone, datetime.now(UTC).year + 1)
    # In this order, since the changes need orders that are not confirmed yet.
    steps: list[float | str | datetime] = [HOUR, "one", spring, -HOUR, autumn, 0.0, "one", HOUR, -HOUR]
    async with case(system, "clocks", rate=RATE) as run, system.replica("order"):
        hosts = _hosts(system, run.random)
        try:
            hosts.jump(0)
            run.note(f"hosts apart by {hosts.apart}")
            async for n in run.moments(len(steps)):
                match steps[n]:
                    case datetime() as change:
                        await _pass(run, hosts, change)
                    case "one":
                        name, ahead = run.random.choice(SERVICES), run.random.choice([HOUR, -HOUR])
                        hosts.jump(ahead, name)
                        run.note(f"{name} alone at {ahead:+g} s")
                    case float() as ahead:
                        hosts.jump(ahead)
                        run.note(f"all at {ahead:+g} s")
            await run.end()
            for document in await _documents(run):
                assert document.issued_on == document.confirmed_at.astimezone(zone).date(), document
                assert document.due_on == document.issued_on + document.terms, document
        finally:
            hosts.right()


async def _pass(run: Case, hosts: _Hosts, change: datetime) -> None:
    """Issue documents on the evening before a change, pass it, and issue more on the evening after it.

    At half past eleven in UTC it is the next day where clocks are an hour ahead, and only there.
    """
    before, after = (day.replace(hour=23, minute=30) for day in (change - timedelta(days=1), change))
    await _issue(run, hosts, before)
    hosts.jump_to(change - PASSING)  # who is five minutes ahead has passed it, and who is behind has not
    await asyncio.sleep(2 * PASSING.total_seconds())  # the fault itself is a length of time
    run.note(f"over the change of {change}")
    await _issue(run, hosts, after)


async def _issue(run: Case, hosts: _Hosts, instant: datetime) -> None:
    """Let it be this instant until an order is confirmed and invoiced."""

    async def issued() -> bool:
        return any(abs(document.confirmed_at - instant) < NEAR for document in await _documents(run))

    hosts.jump_to(instant)
    await until(issued, f"an order confirmed at {instant} and invoiced")
    run.note(f"clocks at {instant}")


class _Document(NamedTuple):
    """The invoice of an order that is invoiced as soon as it is confirmed, which a host's clock says."""

    number: str
    issued_on: date
    due_on: date
    confirmed_at: datetime
    terms: timedelta


async def _documents(run: Case) -> list[_Document]:
    """All of the case, except those that the warehouse dates."""
    invoices = await run.system.sql("billing", _INVOICES, list(run.outside.world.plans))
    rows = await run.system.sql("order", _CONFIRMED, [order_id for order_id, *_ in invoices])
    confirmed = {order_id: (at, timedelta(days=days)) for order_id, at, days in rows}
    return [_Document(*document, *confirmed[order_id]) for order_id, *document in invoices]


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
