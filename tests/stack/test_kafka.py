"""Where Apache Kafka cannot be had, the error says why; where its jars are cached, Maven is not needed."""

import os
from pathlib import Path

import pytest

from o2c.stack.errors import KafkaUnavailable
from o2c.stack.kafka import VERSION, cache_directory, ensure_jars, find_java


def _program(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the path; the cache is empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("O2C_CACHE", str(tmp_path / "cache"))
    return directory


def test_without_java_it_is_unavailable(programs: Path) -> None:
    with pytest.raises(KafkaUnavailable, match="no `java`"):
        find_java()


@pytest.mark.parametrize("says", ['openjdk version "11.0.2"', 'java version "1.8.0_391"', "nonsense", ""])
def test_an_older_java_is_not_enough(programs: Path, says: str) -> None:
    _program(programs, "java", f"echo '{says}' >&2")
    with pytest.raises(KafkaUnavailable, match="Java 17"):
        find_java()


@pytest.mark.parametrize("says", ['openjdk version "17.0.15"', 'openjdk version "21"', 'java version "25.0.1"'])
def test_java_17_and_newer_will_do(programs: Path, says: str) -> None:
    _program(programs, "java", f"echo '{says}' >&2")
    assert find_java() == str(programs / "java")


def test_the_java_of_java_home_comes_first(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    _program(programs, "java", "echo 'openjdk version \"21\"' >&2")
    _program(home / "bin", "java", "echo 'openjdk version \"17\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_java() == str(home / "bin" / "java")


def test_without_maven_and_without_a_cache_it_is_unavailable(programs: Path) -> None:
    with pytest.raises(KafkaUnavailable, match="no `mvn`"):
        ensure_jars()


def test_cached_jars_need_no_maven(programs: Path) -> None:
    cache_directory().mkdir(parents=True)
    for name in (f"kafka_2.13-{VERSION}.jar", "a.jar"):
        (cache_directory() / name).touch()
    assert [jar.name for jar in ensure_jars()] == ["a.jar", f"kafka_2.13-{VERSION}.jar"]


def test_a_maven_without_network_is_quoted_and_leaves_no_half_cache(programs: Path) -> None:
    _program(programs, "mvn", "echo '[ERROR] Network is unreachable'; exit 1")
    with pytest.raises(KafkaUnavailable, match="Network is unreachable"):
        ensure_jars()
    assert not cache_directory().exists()
    assert [path.suffix for path in cache_directory().parent.iterdir()] == [".lock"]


def test_a_cache_of_something_else_is_refused(programs: Path) -> None:
    cache_directory().mkdir(parents=True)
    with pytest.raises(KafkaUnavailable, match="does not hold"):
        ensure_jars()


def test_a_cache_that_cannot_be_written_is_unavailable(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("O2C_CACHE", str(tmp_path / "file"))
    with pytest.raises(KafkaUnavailable, match=f"cannot be kept in {tmp_path}{os.sep}file"):
        ensure_jars()
