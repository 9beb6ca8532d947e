"""The health file: touched while the loop is heard of."""

from pathlib import Path

import pytest

from rota.process.health_file import HealthFile


def test_the_file_is_touched_while_the_loop_is_heard_of(tmp_path: Path) -> None:
    path, silence = tmp_path / "alive", 0.0
    file = HealthFile(path, lambda: silence, within=2.0)
    file.touch()
    assert path.exists()
    path.unlink()
    silence = 2.0
    file.touch()
    assert not path.exists(), "the loop was not heard of"
    silence = 1.9
    file.touch()
    assert path.exists()


def test_a_file_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    HealthFile(tmp_path / "nosuch" / "alive", lambda: 0.0).touch()
    assert [record.getMessage() for record in caplog.records] == ["health_file.not_written"]
