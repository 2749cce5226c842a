"""The stores of all services, each read as of one instant."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg

from o2c.stack import SERVICES

CONNECT_SECONDS_MAX = 5.0
STATEMENT_SECONDS_MAX = 600.0


class Stores:
    """Reads of one verification pass. All rows of one service are of one snapshot of its database."""

    def __init__(self, connections: Mapping[str, Any]) -> None:
        self._connections = connections
        self._turns = {service: asyncio.Lock() for service in connections}
        self._tables: dict[tuple[str, str], asyncio.Future[dict[Any, Any]]] = {}

    async def rows(self, service: str, sql: str) -> list[Any]:
        """The rows of a query on a service's store. Checks run side by side, but on each store one after the other."""
        async with self._turns[service]:
            found: list[Any] = await self._connections[service].fetch(sql)
        return found

    async def table(self, service: str, sql: str) -> dict[Any, Any]:
        """Rows as a mapping: the last column is the value, those before it are the key. Later rows win.

        A query that several checks ask is run once: within one snapshot its answer cannot change.
        """
        known = self._tables.get((service, sql))
        if known is None:
            known = self._tables[service, sql] = asyncio.ensure_future(self._table(service, sql))
        return await known

    async def _table(self, service: str, sql: str) -> dict[Any, Any]:
        rows = await self.rows(service, sql)
        return {(row[0] if len(row) == 2 else tuple(row)[:-1]): row[-1] for row in rows}


@asynccontextmanager
async def open_stores(database_of: Callable[[str], str]) -> AsyncIterator[Stores]:
    """Connect to every service's database, read-only. Raises OSError or PostgresError if one cannot be reached."""
    async with AsyncExitStack() as stack:
        connections = await asyncio.gather(*(_open(stack, database_of(service)) for service in SERVICES))
        yield Stores(dict(zip(SERVICES, connections, strict=True)))


async def _open(stack: AsyncExitStack, address: str) -> Any:
    connection = await asyncpg.connect(
        address, timeout=CONNECT_SECONDS_MAX, command_timeout=STATEMENT_SECONDS_MAX, server_settings={"jit": "off"}
    )
    stack.push_async_callback(connection.close)
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    # The first statement takes the snapshot: all services' are taken within a few milliseconds.
    await connection.fetchval("SELECT 1 FROM events LIMIT 1")
    return connection


def facts(*names: str) -> str:
    """A subquery of the recorded facts of these stored names: columns stream, id (`stream@version`), d (content)."""
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        "(SELECT originator_id AS stream, originator_id || '@' || originator_version AS id, topic, "
        # OFFSET 0 keeps the planner from parsing the content once for every field that is read from it.
        f"convert_from(state, 'UTF8')::jsonb -> 'd' AS d FROM events WHERE topic IN ({listed}) OFFSET 0)"
    )
