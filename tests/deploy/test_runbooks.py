"""Every alert has its page, every page its parts, and every command on it exists: SQL runs, options are known."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import typer
import yaml
from typer.core import TyperGroup

from o2c.main import app
from o2c.stack import SERVICES
from shared.eventsourced.migrating import migrate
from tests.conftest import CreateDatabase
from tests.deploy.files import ROOT, services

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
PARTS = ["What it means", "First look", "Cure"]


def rules() -> Iterator[str]:
    """The names of all alerts."""
    for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.y*ml")):
        for group in (yaml.safe_load(path.read_text()) or {}).get("groups", []):
            yield from (rule["alert"] for rule in group["rules"] if "alert" in rule)


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """(info, text) of the fenced blocks of a language; info is what follows it on the fence."""
    return re.findall(rf"^```{language} ?([^\n]*)\n(.*?)^```", page.read_text(), re.M | re.S)


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert set(rules()) == {page.stem for page in PAGES}


def test_the_index_names_every_page_once_and_nothing_else() -> None:
    named = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \|", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(named) == [(page.stem, page.stem) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_where_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert [part for part in re.findall(r"^## (.+)$", text, re.M) if part in PARTS] == PARTS


def o2c_commands() -> set[tuple[str, ...]]:
    found = set()
    for page in [*PAGES, FOLDER / "README.md"]:
        for line in page.read_text().splitlines():
            match = re.match(r"(?:\$ )?o2c ([a-z].*)$", line)
            if match:
                found.add(tuple(shlex.split(match[1].partition(" | ")[0], comments=True)))
    return found


@pytest.mark.parametrize("command", sorted(o2c_commands()), ids=" ".join)
def test_a_command_of_the_tool_exists_with_its_options(command: tuple[str, ...]) -> None:
    group = typer.main.get_command(app)
    arguments = list(command)
    while isinstance(group, TyperGroup):  # not click's own: typer has another click inside
        found = group.commands.get(arguments[0])
        assert found is not None, f"o2c {' '.join(command)}"
        group, arguments = found, arguments[1:]
    group.make_context("o2c", arguments)


def test_paths_that_are_asked_exist() -> None:
    known = {route.path for service in services().values() for route in service.routes(None).routes}  # type: ignore[arg-type]
    known |= {"/health/live", "/health/ready", "/status", "/metrics"}
    patterns = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in known]
    for page in PAGES:
        for path in re.findall(r'curl [^\n]*?"?\$\w+(/[^\s"?]*)', page.read_text()):
            assert any(pattern.fullmatch(path) for pattern in patterns), f"{page.name}: {path}"


@pytest.mark.connected
@pytest.mark.parametrize("name", SERVICES)
async def test_the_sql_of_the_pages_runs(name: str, fresh_database: CreateDatabase) -> None:
    connection = await asyncpg.connect(await fresh_database(f"runbooks_{name}"))
    try:
        await migrate(connection, services()[name].migrations)
        for page in PAGES:
            for where, text in blocks(page, "sql"):
                if name in where.split() or where in ("any", "server"):
                    for statement in filter(str.strip, text.split(";")):
                        await connection.execute(statement)
    finally:
        await connection.close()


def test_sql_says_in_which_store_it_runs() -> None:
    for page in PAGES:
        for where, _ in blocks(page, "sql"):
            assert where in ("any", "server") or set(where.split()) <= set(SERVICES), f"{page.name}: {where}"
