"""What must hold in every store, whatever its service does: no gaps, nothing lost between services, nothing stuck."""

from o2c.stack import SERVICES
from o2c.verify.stores import Stores
from o2c.verify.verdict import Finding, named, together


async def streams_have_no_gaps(stores: Stores) -> Finding:
    """The facts of every stream are numbered 1, 2, 3 …"""
    return together([await _streams(stores, service) for service in SERVICES])


async def _streams(stores: Stores, service: str) -> Finding:
    ((count,),) = await stores.rows(service, "SELECT count(DISTINCT originator_id) FROM events")
    rows = await stores.rows(
        service,
        "SELECT originator_id FROM events GROUP BY originator_id "
        "HAVING count(*) <> max(originator_version) OR min(originator_version) <> 1",
    )
    return Finding(count, tuple(f"{service}/{row[0]}" for row in rows))


async def lanes_have_no_gaps(stores: Stores) -> Finding:
    """The public facts of every lane are counted 1, 2, 3 … up to the head of the lane."""
    return together([await _lanes(stores, service) for service in SERVICES])


async def _lanes(stores: Stores, service: str) -> Finding:
    rows = await stores.rows(
        service,
        "SELECT l.lane, l.head, count(DISTINCT e.sequence), coalesce(max(e.sequence), 0), coalesce(min(e.sequence), 1) "
        "FROM lanes l LEFT JOIN events e ON e.lane = l.lane GROUP BY l.lane, l.head ORDER BY l.lane",
    )
    wrong = [lane for lane, head, count, last, first in rows if (count, last, first) != (head, head, 1)]
    return Finding(len(rows), tuple(f"{service}/lane {lane}" for lane in wrong))


async def everything_is_published(stores: Stores) -> Finding:
    """The relay of every service has read its store to the end."""
    findings = []
    for service in SERVICES:
        ((cursor, last),) = await stores.rows(
            service, "SELECT cursor, (SELECT coalesce(max(notification_id), 0) FROM events) FROM relay"
        )
        # Without the end: it moves on, and a relay that stands still would seem to move with it.
        wrong = (f"{service}: only up to {cursor}",) if cursor < last else ()
        findings.append(Finding(1, wrong))
    return together(findings)


async def every_position_is_reached(stores: Stores) -> Finding:
    """Every service has heard all that those it listens to have said, lane by lane, and no more."""
    heads: dict[str, dict[int, int]] = {}
    findings = []
    for service in SERVICES:
        heads[service] = await stores.table(service, "SELECT lane, head FROM lanes")
    for service in SERVICES:
        heard = await stores.table(service, "SELECT speaker, lane, sequence FROM positions")
        said = {(speaker, lane): heads[speaker][lane] for speaker, lane in heard if speaker in heads}
        short = [
            f"{service} has heard {named(lane)} only up to {heard[lane]}" for lane in said if heard[lane] < said[lane]
        ]
        beyond = [
            f"{service} has heard more of {named(lane)} than was said" for lane in said if heard[lane] > said[lane]
        ]
        findings.append(Finding(len(said), tuple(sorted([*short, *beyond]))))
    return together(findings)


async def every_store_is_the_one_that_spoke(stores: Stores) -> Finding:
    """No store was copied, or restored from a backup older than what its service has said, and not mended since."""
    findings = []
    for service in SERVICES:
        rows = await stores.rows(service, "SELECT problem FROM origin WHERE problem <> ''")
        findings.append(Finding(1, tuple(f"{service}: {problem}" for (problem,) in rows)))
    return together(findings)


async def nothing_is_stuck(stores: Stores) -> Finding:
    """No message is parked or waits behind one that is."""
    findings = []
    for service in SERVICES:
        rows = await stores.rows(service, "SELECT id, status, code FROM dead_letters ORDER BY id")
        wrong = [f"{service}/{id_} ({code})" for id_, status, code in rows if status in ("parked", "waiting")]
        findings.append(Finding(len(rows), tuple(wrong)))
    return together(findings)
