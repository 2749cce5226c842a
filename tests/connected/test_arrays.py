"""What we write as an array literal is what PostgreSQL reads."""

from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest

from shared.eventsourced.arrays import array

pytestmark = pytest.mark.connected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["", " x ", "NULL", "null", 'a"b', "c\\d", "{e,f}", "é\n\t", "\\", None], "text"),
        ([2**62, -1, 0, None], "bigint"),
        ([True, False, None], "boolean"),
        ([date(1, 1, 1), date(9999, 12, 31), None], "date"),
        ([datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC), None], "timestamptz"),
    ],
)
async def test_the_server_reads_back_what_was_written(postgres: str, values: list[Any], kind: str) -> None:
    connection = await asyncpg.connect(postgres)
    try:
        assert await connection.fetchval(f"SELECT $1::text::{kind}[]", array(values, kind)) == values
    finally:
        await connection.close()
