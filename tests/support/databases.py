"""Databases of one's own for each test: copied from a template, dropped afterwards."""

import re
import uuid

import asyncpg

from o2c.stack.postgres import quoted

_NAME_MAX = 63  # PostgreSQL cuts longer names without a word


async def create_database(server: str, name: str, template: str | None = None) -> str:
    """A new database on this server, empty or a copy of the template; its address.

    The name gets a random ending, so that tests of one name do not meet. Nobody may be connected to the template.
    """
    database = f"{re.sub(r'[^a-z0-9_]', '_', name.lower())[: _NAME_MAX - 9]}_{uuid.uuid4().hex[:8]}"
    await _execute(server, f"CREATE DATABASE {quoted(database)} TEMPLATE {quoted(template or 'template1')}")
    return f"{server}/{database}"


async def drop_database(address: str) -> None:
    """Drop it, whoever is still connected."""
    server, _, database = address.rpartition("/")
    await _execute(server, f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
