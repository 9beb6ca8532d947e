"""What `python -m rota` loads: a mode or a worker, nothing that only commands need."""

import subprocess
import sys
from pathlib import Path

import pytest

from rota.settings.types import MODES
from tests.modules import COMMANDS, OF_LIBRARIES, OF_THE_API, WANTED_BY_SOME
from tests.processes import environment

#: A jobs package that says what is loaded when it is imported, and ends the program.
TELLING = """
import gc, os, sys
print(gc.isenabled(), *sys.modules, flush=True)
os._exit(0)
"""


def loaded(
    folder: Path, *words: str, mode: str = "worker", log_format: str = "json"
) -> tuple[bool, set[str]]:
    """Return whether garbage is collected while a program imports the jobs, and the modules that it has loaded."""
    (folder / "jobs.py").write_text(TELLING, "utf-8")
    variables = {"MODE": mode, "LOG_FORMAT": log_format, "REDIS_URL": "redis://127.0.0.1:1/0"}
    ran = subprocess.run(
        [sys.executable, "-m", "rota", *words],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        check=True,
    )
    collects, *modules = ran.stdout.split()
    return collects == "True", set(modules)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_loads_nothing_of_the_commands_nor_what_only_some_want(tmp_path: Path, mode: str) -> None:
    collects, modules = loaded(tmp_path, mode=mode)
    # FastAPI itself looks for OpenTelemetry.
    allowed = {*OF_THE_API, "opentelemetry"} if mode in ("api", "all") else set()
    assert modules & (COMMANDS | WANTED_BY_SOME | OF_THE_API) <= allowed
    assert collects


@pytest.mark.parametrize(
    "words", [(), ("worker",), ("worker", "--parent", "1", "--queues=default", "--burst")]
)
def test_nor_does_a_worker_however_it_is_started_and_whoever_reads_its_logs(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """What it does without is a quarter of its memory."""
    collects, modules = loaded(tmp_path, *words, log_format="console")
    assert not modules & (COMMANDS | WANTED_BY_SOME | OF_THE_API | OF_LIBRARIES)
    assert collects


def test_an_enqueue_loads_nothing_of_the_other_commands(tmp_path: Path) -> None:
    """A shell may call it in a loop, where most of its time is its start."""
    collects, modules = loaded(tmp_path, "enqueue", "greet")
    others = {one for one in modules if one.startswith("rota.cli.commands.")}
    assert others == {f"rota.cli.commands.putting{part}" for part in ("", ".enqueue", ".lines")}
    rooms = ("rota.worker", "rota.engine", "rota.attempts", "rota.services", "rota.fleet", "rota.api")
    assert not [one for one in modules if one.startswith(rooms)]
    assert not modules & (
        {"rota.cli.main", "rich", "cryptography.x509", "valkey"} | WANTED_BY_SOME | OF_THE_API
    )
    assert collects


def test_a_command_finds_what_it_needs(tmp_path: Path) -> None:
    collects, modules = loaded(tmp_path, "worker", "--burst")
    assert modules >= COMMANDS - {"rich"}  # which draws tables alone
    assert collects
