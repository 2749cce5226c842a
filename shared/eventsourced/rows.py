"""Projections on their way to SQL: rows of one key are merged in memory, then one statement writes a whole table."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

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


@cache  # one entry per declared projection
def upsert_statement(table: Table, *, replace: bool) -> str:
    """One INSERT for any number of rows, one array literal per column. `replace`: the new row is the whole truth."""
    columns = (*table.key, *table.columns)
    names = ", ".join(column.name for column in columns)
    arrays = ", ".join(f"${i}::text::{column.type}[]" for i, column in enumerate(columns, 1))
    if table.appended:
        return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"
    keys = ", ".join(column.name for column in table.key)
    if not table.columns:
        return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT ({keys}) DO NOTHING"
    updates = {c.name: ("excluded.{0}" if replace else _ON_CONFLICT[c.merge]).format(c.name) for c in table.columns}
    if table.dated:
        stage, since = table.columns[-2].name, table.columns[-1].name
        updates[since] = f"CASE WHEN t.{stage} = excluded.{stage} THEN t.{since} ELSE excluded.{since} END"
    return (
        f"INSERT INTO {table.name} AS t ({names}) SELECT * FROM unnest({arrays}) "
        f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = {value}' for name, value in updates.items())}"
    )


def upsert(table: Table, rows: Sequence[Row], *, replace: bool) -> tuple[str, ...]:
    """The statement that writes rows (at least one, at most one per key), and what it is executed with."""
    columns = zip((*table.key, *table.columns), zip(*rows, strict=True), strict=True)
    return upsert_statement(table, replace=replace), *(array(values, column.type) for column, values in columns)


async def write_rows(connection: Any, table: Table, rows: Sequence[Row], *, replace: bool) -> None:
    """Write rows (at most one per key) with one statement."""
    if rows:
        await connection.execute(*upsert(table, rows, replace=replace))


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
