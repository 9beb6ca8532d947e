"""A project of somebody's: a folder with a jobs package, and the `rota` command in it."""

import contextlib
import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import rota
from rota.cli import main

ENGINE = Path(rota.__file__).parents[1]
JOBS = '''
"""The jobs of a test."""

from rota import Run, job


@job
async def greet(run: Run, name: str) -> str:
    """A greeting."""
    return f"hello {name}"


@job(queue="email")
async def send(run: Run, to: str = "ann") -> None:
    """Nothing."""
'''


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    status: int
    out: str
    err: str

    def refused(self, *said: str) -> None:
        """It ended with status 2, and on stderr stands one sentence with all that is `said`, and no more."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("rota: ")]
        sentences = [line for line in lines if not line.startswith("rota: warning: ")]
        assert len(sentences) == 1, self.err
        for words in said:
            assert words in sentences[0], sentences[0]
        assert self.status == 2


class Project:
    """The folder. Commands run in this process, as fast as a call, or in one of their own."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str], redis_url: str = "") -> None:
        self.folder = folder
        self._captured = captured
        self._redis_url = redis_url
        self.write("jobs/__init__.py", JOBS)

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def rota(self, *arguments: str, **variables: str) -> Ran:
        """Run `rota` with these arguments and variables of the environment, and no others."""
        self._captured.readouterr()
        with _as_in_a_new_process(self.folder, ["rota", *arguments], self.environment(**variables)):
            try:
                main.main()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(bool(end.code))
        captured = self._captured.readouterr()
        return Ran(status, captured.out, captured.err)

    def process(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The same as a process of its own: `python -m rota`."""
        return subprocess.Popen(
            [sys.executable, "-m", "rota", *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables that a command of the project sees."""
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ENGINE), "BOOT_TIMEOUT": "0.3", "COLUMNS": "80"}
        return base | ({"REDIS_URL": self._redis_url} if self._redis_url else {}) | variables


@contextlib.contextmanager
def _as_in_a_new_process(folder: Path, argv: list[str], environment: dict[str, str]) -> Iterator[None]:
    """What a process of its own would have for itself, and what it would take with it at its end."""
    root = logging.getLogger()
    handlers, level, path = list(root.handlers), root.level, list(sys.path)
    others = _jobs_modules()
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr(os, "environ", environment)
        patch.chdir(folder)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            sys.path[:] = path
            _jobs_modules()
            sys.modules.update(others)


def _jobs_modules() -> dict[str, ModuleType]:
    """Forget every module of a package `jobs`; what was forgotten."""
    names = [name for name in sys.modules if name.partition(".")[0] == "jobs"]
    return {name: sys.modules.pop(name) for name in names}
