"""Where the cluster lives, and what an account may reach."""

import os
from pathlib import Path

import pytest

from o2c.stack.postgres import data_directory, quoted
from o2c.stack.processes import Account
from tests.support.homes import temporary_home

STRANGER = Account("stranger", 54_321, 54_321)


def test_data_lives_in_the_home_when_we_run_it_as_ourselves(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert data_directory(tmp_path, None) == tmp_path / "postgres" / "data"


def test_data_lives_in_the_home_when_the_account_can_get_there() -> None:
    with temporary_home() as home:
        assert data_directory(home / "later", STRANGER) == home / "later" / "postgres" / "data"


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "inside"),
    [
        (0o700, 54_321, 0, True),
        (0o677, 54_321, 0, False),
        (0o710, 0, 54_321, True),
        (0o701, 0, 54_321, False),
        (0o701, 0, 0, True),
        (0o710, 0, 0, False),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away, and only root needs to know")
def test_one_closed_directory_above_moves_the_data_elsewhere(mode: int, uid: int, gid: int, inside: bool) -> None:
    with temporary_home() as home:
        closed = home / "closed"
        closed.mkdir()
        os.chown(closed, uid, gid)
        closed.chmod(mode)
        found = data_directory(closed / "home", STRANGER)
        assert found.is_relative_to(home) == inside
        assert found == data_directory(closed / "home", STRANGER)
        assert found != data_directory(closed / "other", STRANGER)


def test_names_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
