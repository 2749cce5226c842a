"""Read tables anew from the facts alone, in one transaction: readers see the old rows until the new ones are whole."""

from collections.abc import Sequence
from typing import Any

from shared.eventsourced.mapper import decode_fact
from shared.eventsourced.projecting import FactProjection, StateProjection
from shared.eventsourced.rows import Rows, merge_rows, prepared, state_rows, write_rows
from shared.eventsourced.service import Service
from shared.eventsourced.store import UNHURRIED
from shared.eventsourced.unit_of_work import fact_rows

FACTS_MAX = 1_000
"""Of one reading: an order of 500 lines has 45 kB, and takes six times that until its rows are written."""
REBUILD_SECONDS_MAX = 3_600
"""A statement of a rebuild may take this long: deleting a large table, or waiting for the store's lock."""


async def rebuild(connection: Any, service: Service) -> int:
    """Rebuild the tables of fact and state projections; writers wait meanwhile. Returns the number of facts read."""
    fact_projections = [p for p in service.projections if isinstance(p, FactProjection)]
    state_projections = [p for p in service.projections if isinstance(p, StateProjection)]
    async with connection.transaction():
        await connection.execute(UNHURRIED)
        await connection.execute("SELECT lock_store()", timeout=REBUILD_SECONDS_MAX)
        for name in {p.table.name for p in service.projections}:
            await connection.execute(f"DELETE FROM {name}", timeout=REBUILD_SECONDS_MAX)
        count = await _from_facts(connection, fact_projections)
        for projection in state_projections:
            await _from_states(connection, projection)
    return count


async def _from_facts(connection: Any, projections: Sequence[FactProjection]) -> int:
    count = position = 0
    while True:
        rows = await connection.fetch(
            "SELECT originator_id, originator_version, topic, state, notification_id FROM events "
            "WHERE notification_id > $1 ORDER BY notification_id LIMIT $2",
            position,
            FACTS_MAX,
        )
        if not rows:
            return count
        found = fact_rows(projections, [decode_fact(*row[:4]) for row in rows])
        merged = [Rows(table, merge_rows(table, of_table), replace=False) for table, of_table in found.items()]
        await write_rows(connection, prepared(merged))
        count, position = count + len(rows), rows[-1]["notification_id"]


async def _from_states(connection: Any, projection: StateProjection) -> None:
    """Fold one stream after the other; a stream may span several reads."""
    decider, stage_of = projection.decider, projection.stage
    last, version, state = f"{decider.name}-", 0, decider.initial
    stage, since_us = "", 0
    done: list[tuple[str, Any, int]] = []
    while True:
        rows = await connection.fetch(
            "SELECT originator_id, originator_version, topic, state FROM events "
            "WHERE (originator_id, originator_version) > ($1, $2) AND originator_id < $3 "
            "ORDER BY originator_id, originator_version LIMIT $4",
            last,
            version,
            f"{decider.name}.",  # "." is the character after "-"
            FACTS_MAX,
        )
        for stream, number, topic, data in rows:
            if stream != last:
                done.append((last, state, since_us))
                last, state, stage = stream, decider.initial, ""
            recorded = decode_fact(stream, number, topic, data)
            state, version = decider.evolve(state, recorded.fact), number
            if stage_of is not None and (now_in := stage_of(state)) != stage:
                stage, since_us = now_in, recorded.meta.at
        if not rows:
            done.append((last, state, since_us))
        found = state_rows(projection, [d for d in done if d[0] != f"{decider.name}-"])
        await write_rows(connection, prepared([Rows(projection.table, found, replace=True)]))
        done.clear()
        if not rows:
            return
