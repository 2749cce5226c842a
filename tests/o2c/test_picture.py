"""Pictures of pages: taken where there is a Chromium, and never a reason to fail."""

from pathlib import Path

import pytest

from o2c.picture import chromium, take_picture

PRETENDS = """#!/bin/sh
for option; do case "$option" in --screenshot=*) echo "$@" > "${option#--screenshot=}" ;; esac; done
"""


def test_without_a_chromium_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("O2C_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium() is None
    assert not take_picture("http://127.0.0.1:1/tower", tmp_path / "tower.png")


def test_the_named_chromium_is_asked_for_the_page_in_a_folder_that_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(PRETENDS)
    browser.chmod(0o755)
    monkeypatch.setenv("O2C_CHROMIUM", str(browser))
    picture = tmp_path / "report" / "tower.png"
    assert take_picture("http://127.0.0.1:1/tower", picture)
    assert "http://127.0.0.1:1/tower" in picture.read_text()


@pytest.mark.parametrize("content", [None, "#!/bin/sh\nexit 3\n"])
def test_a_chromium_that_fails_leaves_no_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    browser = tmp_path / "browser"
    if content is not None:
        browser.write_text(content)
        browser.chmod(0o755)
    monkeypatch.setenv("O2C_CHROMIUM", str(browser))
    picture = tmp_path / "tower.png"
    picture.write_text("of yesterday")
    assert not take_picture("http://127.0.0.1:1/tower", picture)
    assert not picture.exists()
