"""A stack for the length of one command, or longer when the user wants to look around afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from o2c.addresses import Addresses
from o2c.commands.stack import ready
from o2c.environment import settings
from o2c.stack import Stack, StackOptions, StackState


@asynccontextmanager
async def fresh_stack(options: StackOptions, *, keep: bool) -> AsyncIterator[StackState]:
    """Everything up in an emptied home. It ends with this block, or, with `keep`, when `o2c down` ends it.

    StackError if it does not come up or the home is in use.
    """
    Stack.wipe(options.home)
    if keep:
        yield await Stack.detach(options)
        return
    async with await Stack.up(options, ready) as stack:
        yield stack.snapshot()


def addresses_of(state: StackState) -> Addresses:
    """How to reach this stack."""
    return Addresses(state.database_url, settings().database_prefix, state.kafka_servers, state.http_urls)


def pids_of(state: StackState) -> dict[str, int]:
    """The running processes of a stack by name."""
    return {name: part.pid for name, part in state.parts.items() if part.pid is not None}


def report_to(path: Path | None, content: bytes) -> None:
    """Write a report, if one is wanted, whole or not at all."""
    if path is None:
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
