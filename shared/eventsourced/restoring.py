"""A store that was restored from a backup: noticed before it writes, and brought in line with what the world has heard.

Such a store has forgotten facts that its service has said. Whatever it says next would stand under sequences that
listeners have heard already, and be dropped as a repeat, silently. So a service does not write to a store that was
copied or restored, or that Kafka or others have heard more of than it holds, until `mend` has filled the forgotten
places (`o2c restored`, see docs/restoring.md). What it has not heard, it asks for by itself.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any

from shared.eventsourced.facts import Fact, Meta, Recorded, fact
from shared.eventsourced.mapper import encode_fact
from shared.eventsourced.publishing import lane_of
from shared.eventsourced.writing import Draft, write_batch
from shared.values import Value

DO = "; stop the service and run `o2c restored {0}` (docs/restoring.md)"

_HERE = """
SELECT system_identifier::text, (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()
"""


@fact("engine.Lost")
class Lost(Fact, frozen=True, gc=False):
    """A message was said at this place, and the fact behind it is gone. "" for what is not known of it any more.

    `id`, `type`: of the message; `number`: of the document it told of, so that no number is used again.
    """

    lane: int
    sequence: int
    id: str = ""
    type: str = ""
    number: str = ""


@cache  # 48 lanes
def key_in(lane: int) -> bytes:
    """A key of this lane for messages about no customer: listeners take none in a lane that is not its key's."""
    return next(key for n in count() if lane_of(key := f"lost-{n}") == lane).encode()


class Said(Value, frozen=True, gc=False):
    """What is still known of a lost message."""

    id: str
    type: str
    number: str


async def origin_problem(connection: Any, service: str) -> str:
    """Why this store must not be written to, "" if it may be. A store that was never asked is at home here."""
    here = tuple(await connection.fetchrow(_HERE))
    await connection.execute(
        "INSERT INTO origin (cluster, database) VALUES ($1, $2) ON CONFLICT (only_row) DO NOTHING", *here
    )
    cluster, database, problem = await connection.fetchrow("SELECT cluster, database, problem FROM origin")
    if problem:
        return str(problem)
    if (cluster, database) != here:
        return "this database is a copy or was restored from a backup" + DO.format(service)
    return ""


async def overtaken(connection: Any, service: str, heard: Mapping[int, int], who: str = "others have") -> str:
    """Why not to write when somebody has heard this much of us: lane → sequence. Remembered, "" if all is well."""
    heads = dict(await connection.fetch("SELECT lane, head FROM lanes"))
    ahead = {lane: sequence for lane, sequence in heard.items() if sequence > heads.get(lane, sequence)}
    if not ahead:
        return ""
    lane, sequence = next(iter(sorted(ahead.items())))
    problem = (
        f"{who} heard more than this store holds, in {len(ahead)} lanes (lane {lane}: heard {sequence}, "
        f"stored {heads[lane]}): it was restored from an older backup" + DO.format(service)
    )
    await connection.execute("UPDATE origin SET problem = $1", problem)
    return problem


async def mend(
    connection: Any, heard: Mapping[int, int], known: Mapping[tuple[int, int], Said], at_us: int
) -> dict[int, int]:
    """Fill the places that others have heard with `Lost` facts and let the service write again; lane → how many.

    `heard`: lane → the last sequence that anybody has heard; `known`: (lane, sequence) → what is known of it.
    To be called while no process of the service runs, in a transaction. A second call changes nothing.
    """
    await connection.execute("SELECT lock_store()")
    heads = dict(await connection.fetch("SELECT lane, head FROM lanes"))
    filled: dict[int, int] = {}
    for lane, last in sorted(heard.items()):
        if last > heads[lane]:
            filled[lane] = last - heads[lane]
            await _fill(connection, lane, range(heads[lane] + 1, last + 1), known, Meta(at_us))
    await _skip_numbers(connection, [said.number for said in known.values() if said.number])
    await connection.execute("DELETE FROM origin")
    await connection.execute("INSERT INTO origin (cluster, database) " + _HERE)
    return filled


async def _fill(
    connection: Any, lane: int, sequences: Sequence[int], known: Mapping[tuple[int, int], Said], meta: Meta
) -> None:
    stream = f"lost-{lane}-{sequences[0]}"
    facts = []
    for version, sequence in enumerate(sequences, 1):
        said = known.get((lane, sequence), Said("", "", ""))
        lost = Lost(lane, sequence, said.id, said.type, said.number)
        facts.append(Recorded(stream, version, lost, meta))
    encoded = [encode_fact(each.fact, meta) for each in facts]
    await write_batch(connection, Draft(facts, encoded, [lane] * len(facts)))


async def _skip_numbers(connection: Any, numbers: Sequence[str]) -> None:
    """Numbers that the world has seen are not given out again: they read `SERIES-000017`."""
    last: dict[str, int] = {}
    for number in numbers:
        series, _, count = number.rpartition("-")
        last[series] = max(int(count), last.get(series, 0))
    await connection.execute(
        "INSERT INTO number_series AS s SELECT * FROM unnest($1::text[], $2::bigint[]) "
        "ON CONFLICT (series) DO UPDATE SET last = greatest(s.last, excluded.last)",
        list(last),
        list(last.values()),
    )
