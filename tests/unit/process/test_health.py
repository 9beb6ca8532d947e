"""Health: the age of a file, asked without importing the engine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rota
from rota.process import health

ENGINE = Path(rota.__file__).parents[1]


def test_a_file_that_was_just_touched_is_a_worker_that_is_well(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    file.touch()
    assert health.check(str(file)) is None
    assert health.main([str(file)]) == 0


def test_an_old_file_is_a_worker_that_hangs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "alive"
    file.touch()
    long_ago = time.time() - 45
    os.utime(file, (long_ago, long_ago))
    assert health.main([str(file)]) == 1
    assert "was touched 45 s ago; the worker hangs" in capsys.readouterr().err
    assert health.main([str(file), "60"]) == 0


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main([str(tmp_path / "alive")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_without_an_argument_it_looks_at_the_file_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEALTH_FILE", str(tmp_path / "another"))
    assert health.main([]) == 1
    assert f"{tmp_path / 'another'}: No such file" in capsys.readouterr().err
    (tmp_path / "alive").touch()
    monkeypatch.setenv("ROTA_HEALTH_FILE", str(tmp_path / "alive"))
    assert health.main([]) == 0


def test_without_a_file_it_says_how_it_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HEALTH_FILE", raising=False)
    assert health.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_it_is_asked_as_a_program_and_imports_nothing_of_redis(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    file.touch()
    code = (
        "import runpy, sys; sys.argv = ['health', sys.argv[1]]\n"
        "try: runpy.run_module('rota.process.health', run_name='__main__')\n"
        "except SystemExit as end: sys.exit(end.code or ('redis' in sys.modules) or ('arq' in sys.modules))"
    )
    environment = {"PYTHONPATH": str(ENGINE)}
    ran = subprocess.run([sys.executable, "-c", code, str(file)], env=environment, check=False, timeout=30)
    assert ran.returncode == 0
