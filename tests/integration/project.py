"""A user's project: a folder with a jobs package, and the `rota` command run in it."""

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
import rich.console  # noqa: F401 - it keeps the environment that it is imported in, which must not be that of one command

from rota.cli import main, modes
from tests.processes import environment, start

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
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    def refused(self, *said: str, status: int = 2) -> None:
        """Assert that it ended with `status`, and with one sentence on stderr that has all that is `said`."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("rota: ")]
        sentences = [line for line in lines if not line.startswith("rota: warning: ")]
        assert len(sentences) == 1, self.err
        for words in said:
            assert words in sentences[0], sentences[0]
        assert self.status == status


class Project:
    """A project in a folder. Its commands run in the test's process, which is fast, or in processes of their own."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str], redis_url: str = "") -> None:
        self.folder = folder
        self._captured = captured
        self._redis_url = redis_url
        self.write("jobs/__init__.py", JOBS)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def rota(self, *arguments: str, **variables: str) -> Ran:
        """Run `rota` with these arguments and variables of the environment, and no others; without any, by MODE."""
        self._captured.readouterr()
        with _as_in_a_new_process(self.folder, ["rota", *arguments], self.environment(**variables)):
            try:
                (main if arguments else modes).main()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(bool(end.code))
        captured = self._captured.readouterr()
        return Ran(status, captured.out, captured.err)

    def process(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `rota` in a process of its own."""
        return start(
            *arguments,
            cwd=self.folder,
            environment=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of the project's commands."""
        base = {"BOOT_TIMEOUT": "0.3", "COLUMNS": "80", "MODE": "worker"}
        server = {"REDIS_URL": self._redis_url} if self._redis_url else {}
        return environment(**(base | server | variables))


@contextlib.contextmanager
def _as_in_a_new_process(folder: Path, argv: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Give a block what a new process has for itself (arguments, environment, modules, logs), and restore it."""
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
    """Remove every module of a package `jobs` from sys.modules, and return the removed ones."""
    names = [name for name in sys.modules if name.partition(".")[0] == "jobs"]
    return {name: sys.modules.pop(name) for name in names}
