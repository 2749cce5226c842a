"""Numbered SQL files per service, applied once, in order, under a lock, with checksums."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.errors import O2CError
from shared.eventsourced.projecting import Table
from shared.eventsourced.store import UNHURRIED

ENGINE_MIGRATIONS = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 7_201_928
MIGRATION_SECONDS_MAX = 3_600
_UNIQUE = """
SELECT array_agg(a.attname::text)
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY i.indexrelid
"""


class MigrationError(O2CError):
    """The files and the database do not fit together; the message says what to do."""

    code = "migration"


def migration_files(folders: Iterable[Path]) -> list[tuple[int, Path]]:
    """All migrations of these folders by number. MigrationError: a wrong name or a number used twice."""
    files: dict[int, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.sql")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise MigrationError(f"{path.name} is not named like 1001_what_it_does.sql")
            number = int(match[1])
            if number in files:
                raise MigrationError(f"{path.name} has the number of {files[number].name}")
            files[number] = path
    return sorted(files.items())


async def migrate(connection: Any, service_folder: Path) -> list[int]:
    """Apply what is missing, each file in one transaction; returns the numbers applied."""
    applied: list[int] = []
    try:
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known = {row["number"]: row for row in await connection.fetch("SELECT * FROM schema_migrations")}
        for number, path in migration_files((ENGINE_MIGRATIONS, service_folder)):
            sql = path.read_text(encoding="utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            if number in known:
                if known[number]["checksum"] != checksum:
                    raise MigrationError(f"{path.name} was applied with other content; add a new migration instead")
                continue
            async with connection.transaction():
                # A new index on a large table takes as long as it takes; processes that start meanwhile wait for it.
                await connection.execute(UNHURRIED)
                await connection.execute(sql, timeout=MIGRATION_SECONDS_MAX)
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                    number,
                    path.name,
                    checksum,
                )
            applied.append(number)
    finally:
        # All of them: whoever gave up waiting does not know whether it was granted.
        await connection.execute("SELECT pg_advisory_unlock_all()")
    return applied


async def check_tables(connection: Any, tables: Iterable[Table]) -> None:
    """Every declared read table is in the database, with these columns and keys. MigrationError says what is not.

    Only a table that is appended to may do without a unique index on its key.
    """
    for table in tables:
        rows = await connection.fetch(
            "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a "
            "WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
            table.name,
        )
        there = {name: kind for name, kind in rows}
        for column in table.all_columns:
            kind = await connection.fetchval("SELECT format_type($1::regtype, NULL)", column.type)
            if there.get(column.name) != kind:
                raise MigrationError(
                    f"{table.name}.{column.name} is declared as {kind} but is {there.get(column.name, 'missing')}"
                )
        key = sorted(column.name for column in table.key)
        if not table.appended and key not in [
            sorted(names) for (names,) in await connection.fetch(_UNIQUE, table.name)
        ]:
            raise MigrationError(f"{table.name} has no unique index on exactly {', '.join(key)}, its declared key")
