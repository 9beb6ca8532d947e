"""The health file: touched while the loop is heard of."""

import logging
from pathlib import Path

import pytest

from rota.process import health
from rota.process.health_file import HealthFile


def test_the_file_is_touched_while_the_loop_is_heard_of(tmp_path: Path) -> None:
    path, silence = tmp_path / "alive", 0.0
    file = HealthFile(path, lambda: silence, str, within=2.0)
    file.touch()
    assert path.exists()
    path.unlink()
    silence = 2.0
    file.touch()
    assert not path.exists(), "the loop was not heard of"
    silence = 1.9
    file.touch()
    assert path.exists()


def test_what_the_process_complains_of_is_in_the_file_and_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, said = tmp_path / "alive", [""]
    file = HealthFile(path, lambda: 0.0, lambda: said[0])
    for said[0], status in (("", 0), ("Redis is away", 1), ("", 0)):
        file.touch()
        assert health.main([str(path)]) == status
    assert capsys.readouterr().err == "Redis is away\n"


def test_a_file_that_cannot_be_written_is_logged_once_and_once_when_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "nosuch"
    file = HealthFile(folder / "alive", lambda: 0.0, str)
    with caplog.at_level(logging.INFO, "rota.leases"):
        for _ in range(4):
            file.touch()
        folder.mkdir()
        for _ in range(4):
            file.touch()
    assert [record.getMessage() for record in caplog.records] == [
        "health_file.not_written",
        "health_file.written",
    ]
