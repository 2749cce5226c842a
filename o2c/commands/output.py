"""How every command speaks: JSON or words on stdout, progress and errors on stderr, and what its exit code means."""

import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import httpx
import msgspec
import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from shared.errors import ContractError, O2CError, UnavailableError, in_words
from shared.settings import problems_of


class Exit(IntEnum):
    """What a command's exit code says. (2, wrong usage, is given by the argument parser.)"""

    OK = 0
    WRONG = 1
    USAGE = 2
    UNREACHABLE = 3


PIPE_WIDTH = 240
"""Columns of text where there is no terminal to ask."""

out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
"""For results. Colours appear on a terminal only."""

err = Console(stderr=True, soft_wrap=True)
"""For progress and errors, so that stdout stays clean for programs."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]

_DATABASE_REFUSES = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
)
"""It is not there, is empty, or is not for this role: for the operator to see to, no defect of ours."""

T = TypeVar("T")


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(*columns: str) -> Table:
    """A plain table whose long values are folded, never cut."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def fail(message: str, code: Exit) -> NoReturn:
    """End the command with an error that a person can act on."""
    err.print(f"[bold red]error:[/] {_escape(message)}")
    raise typer.Exit(code)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


@contextmanager
def explained() -> Iterator[None]:
    """Errors of what a command talks to become one line and the right exit code."""
    try:
        yield
    except ContractError as error:
        fail("; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in error.problems), Exit.WRONG)
    except UnavailableError as error:
        fail(error.message, Exit.UNREACHABLE)
    except O2CError as error:
        fail(error.message, Exit.WRONG)
    except ValidationError as error:
        fail(f"the settings of the environment are wrong: {'; '.join(problems_of(error))}", Exit.USAGE)
    except _DATABASE_REFUSES as error:
        fail(f"the database refuses: {error}", Exit.WRONG)
    except (httpx.TransportError, KafkaError) as error:
        fail(f"{in_words(error)}; see `o2c status`", Exit.UNREACHABLE)
    except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, ConnectionError, TimeoutError) as error:
        fail(f"{in_words(error)}; is the stack up? (`o2c status`)", Exit.UNREACHABLE)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's asynchronous part to its end, on the fast event loop where there is one."""
    import uvloop  # costs 20 ms that a plain `--help` need not pay

    with explained():
        return uvloop.run(work())
