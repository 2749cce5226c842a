"""Where PostgreSQL's time goes: its own statistics of statements, sorted into the steps of the engine."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import asyncpg

WRITE = "project"
"""Of the statement that writes a batch, what the function in it does not do: the read rows."""

STEPS: tuple[tuple[str, str], ...] = (
    ("append", r"INSERT INTO events|UPDATE lanes|_notification_id_seq"),
    ("load", r"^SELECT e\.originator_id|FROM snapshots"),
    ("relay", r"notification_id (>|<)|max\(notification_id\)|UPDATE relay|SELECT lane, head"),
    (WRITE, r"^WITH written AS"),
    ("unit of work", r"positions|number_series|dead_letters|lock_store|^(BEGIN|COMMIT)"),
)
"""Step → what its statements look like; the first that matches has the statement."""

_STATEMENTS = """
SELECT d.datname, s.query, s.total_exec_time, s.toplevel FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname LIKE $1
"""


def step_of(statement: str) -> str:
    """The step to which a statement belongs; "other" for what has no name here."""
    text = " ".join(statement.split())
    return next((step for step, pattern in STEPS if re.search(pattern, text)), "other")


async def reset(server: str) -> None:
    """Count from now on, what functions do as well. asyncpg errors when the extension is not there."""
    await _on(server, lambda c: c.execute("ALTER SYSTEM SET pg_stat_statements.track = 'all'"))
    await _on(server, lambda c: c.execute("SELECT pg_reload_conf(), pg_stat_statements_reset()"))


async def milliseconds(server: str, prefix: str) -> dict[str, dict[str, float]]:
    """Service → step → milliseconds spent in its statements since `reset`. `prefix`: of the services' databases."""
    spent: dict[str, Counter[str]] = {}
    for database, statement, ms, toplevel in await _on(server, lambda c: c.fetch(_STATEMENTS, f"{prefix}%")):
        steps = spent.setdefault(database.removeprefix(prefix), Counter())
        steps[step_of(statement)] += ms
        if not toplevel:
            steps[WRITE] -= ms  # the statement that called `write_batch` has it, too
    return {service: dict(steps) for service, steps in spent.items()}


async def _on(server: str, work: Callable[[Any], Any]) -> Any:
    connection = await asyncpg.connect(f"{server}/postgres", timeout=10, command_timeout=60)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        return await work(connection)
    finally:
        await connection.close()
