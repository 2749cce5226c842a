"""Projections on their way to SQL: rows of one key are merged in memory, then one statement writes them all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from shared.eventsourced.arrays import array
from shared.eventsourced.facts import instant_of
from shared.eventsourced.projecting import Column, Row, StateProjection, Table

_ON_CONFLICT = {
    "set": "coalesce(excluded.{0}, t.{0})",
    "first": "coalesce(t.{0}, excluded.{0})",
    "add": "coalesce(t.{0} + excluded.{0}, t.{0}, excluded.{0})",
    "min": "least(t.{0}, excluded.{0})",
    "max": "greatest(t.{0}, excluded.{0})",
}


def merge_rows(table: Table, rows: Iterable[Row]) -> list[Row]:
    """Rows with at most one per key, merged column by column in the order given."""
    if table.appended:
        return list(rows)
    width = len(table.key)
    merged: dict[Row, Row] = {}
    for row in rows:
        key = row[:width]
        known = merged.get(key)
        merged[key] = row if known is None else key + tuple(map(_merged, table.columns, known[width:], row[width:]))
    return list(merged.values())


def _merged(column: Column, old: Any, new: Any) -> Any:
    if old is None or new is None:
        return new if old is None else old
    match column.merge:
        case "set":
            return new
        case "first":
            return old
        case "add":
            return old + new
        case "min":
            return min(old, new)
        case "max":
            return max(old, new)


@dataclass(frozen=True)
class Rows:
    """Rows of one table, at most one per key. `replace`: each is the whole truth; else it is merged."""

    table: Table
    rows: Sequence[Row]
    replace: bool


class Prepared(NamedTuple):
    """Rows of any number of tables, ready to be written by one statement.

    `inserts`: parts of its WITH, each with a comma before it, none of which begins before its part `written` is done.
    `arrays`: what its first parameters are, one a column.
    """

    inserts: str
    arrays: tuple[str, ...]


NO_ROWS = Prepared("", ())


def prepared(together: Sequence[Rows]) -> Prepared:
    """Rows of different tables for one statement: where CPU is short, every further one is a turn in a queue.

    Tables without rows are left out. In the order of their names, whatever a batch held first: the server plans each
    statement that it has not seen.
    """
    together = sorted((each for each in together if each.rows), key=lambda each: each.table.name)
    arrays = [
        array(values, column.type)
        for each in together
        for column, values in zip(each.table.all_columns, zip(*each.rows, strict=True), strict=True)
    ]
    return Prepared(_inserts(tuple((each.table, each.replace) for each in together)), tuple(arrays))


async def write_rows(connection: Any, rows: Prepared) -> None:
    """Write rows of any number of tables with one statement; none if there are none."""
    if rows.inserts:
        await connection.execute(f"WITH written AS (SELECT){rows.inserts} SELECT", *rows.arrays)


@lru_cache(1_000)  # an entry for each set of tables that is written together: few of those that are possible
def _inserts(tables: tuple[tuple[Table, bool], ...]) -> str:
    parts: list[str] = []
    parameters = 0
    for table, replace in tables:
        parts.append(f", t{len(parts) + 1} AS ({_insert(table, parameters, replace=replace)})")
        parameters += len(table.all_columns)
    return "".join(parts)


def _insert(table: Table, parameters: int, *, replace: bool) -> str:
    """One INSERT for any number of rows; `parameters`: how many there are before its own."""
    names = ", ".join(column.name for column in table.all_columns)
    values = ", ".join(f"unnest(${n}::text::{c.type}[])" for n, c in enumerate(table.all_columns, parameters + 1))
    # Not before `written`, which is one row, is there: who held some of these rows while waiting for the store's lock
    # would wait for ever. With `FROM unnest` the server would note all of them once more before it inserts the first.
    insert = f"({names}) SELECT {values} FROM written"
    if table.appended:
        return f"INSERT INTO {table.name} {insert}"
    keys = ", ".join(column.name for column in table.key)
    if not table.columns:
        return f"INSERT INTO {table.name} {insert} ON CONFLICT ({keys}) DO NOTHING"
    updates = {c.name: ("excluded.{0}" if replace else _ON_CONFLICT[c.merge]).format(c.name) for c in table.columns}
    if table.dated:
        stage, since = table.columns[-2].name, table.columns[-1].name
        updates[since] = f"CASE WHEN t.{stage} = excluded.{stage} THEN t.{since} ELSE excluded.{since} END"
    return (
        f"INSERT INTO {table.name} AS t {insert} "
        f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = {value}' for name, value in updates.items())}"
    )


def state_rows(projection: StateProjection, changed: Iterable[tuple[str, Any, int]]) -> list[Row]:
    """(stream, state, instant in µs) of aggregates of the projection's kind → their rows.

    The instant is when what led to the state was recorded, and only used by projections with a stage.
    """
    prefix, stage = len(projection.decider.name) + 1, projection.stage
    rows = []
    for stream, state, at_us in changed:
        row = projection.row(stream[prefix:], state)
        if row is not None:
            rows.append(row if stage is None else (*row, stage(state), instant_of(at_us)))
    return rows
