"""`docs/first-job.md`, followed to the letter in a copy: each command is run as it stands, and prints what it shows."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout
from tests.servers import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "first-job.md").read_text("utf-8")
#: A file that the guide has its reader write, or commands with what they print.
STEP = re.compile(
    r"```python\n# (?P<file>\S+)\n(?P<text>.*?)```|(?P<shown>(?:^    [^\n]*\n)+)", re.DOTALL | re.MULTILINE
)
CORRECTION = re.compile(r"write `(.*?)` in place of\s+`(.*?)`")


@dataclass
class Reader:
    """A person who follows the guide in a folder, with one program that goes on in another terminal."""

    folder: Path
    environment: dict[str, str]
    log: Path
    commands: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def developing(self) -> Iterator[None]:
        """Run the first command, which stays, while a block lasts, and end it as Ctrl-C does."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                ["make", "dev"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.until_it_works(1)
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)

    def until_it_works(self, starts: int) -> None:
        """Wait until the workers have started so often, with the job that there is."""
        wait_until(
            lambda: len(re.findall(r"\bworker\.ready\b", self.log.read_text("utf-8"))) >= starts,
            f"it works: {self.log}",
            seconds=60,
        )

    def follow(self, step: re.Match[str]) -> None:
        """Write the file of a step, or run its commands."""
        if step["file"]:
            (self.folder / step["file"]).write_text(step["text"])
            return
        for part in re.split(r"(?m)^    \$ ", step["shown"])[1:]:
            command, _, shown = part.partition("\n")
            if command != "make dev":
                self._type(command, re.sub("(?m)^    ", "", shown))

    def _type(self, command: str, shown: str) -> None:
        self.commands.append(command)
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        # In any order: what is said beside the output comes before it in a pipe, and after it in a terminal.
        for line in shown.splitlines():
            wanted = re.compile(re.escape(line).replace("…", ".*"))
            assert any(map(wanted.fullmatch, ran.stdout.splitlines())), f"$ {command}\n{ran.stdout}\n{line}"


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    copy = copy_checkout(tmp_path / "clone")
    # What the copy is set up from is the same as here, and so is the environment.
    (copy / ".venv").symlink_to(ROOT / ".venv")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "make").write_text('#!/bin/sh\nexec /usr/bin/make -o .venv/.rota-setup "$@"\n')
    (programs / "make").chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    environment = {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(copy / "src"),
        "API_PORT": str(free_port()),
        "METRICS_PORT": "off",
    }
    return Reader(copy, environment, tmp_path / "dev.log")


def steps_of(part: str) -> list[re.Match[str]]:
    return [step for step in STEP.finditer(part) if step["file"] or "$ " in step["shown"]]


def test_who_follows_it_has_a_job_that_runs_fails_and_is_brought_back(reader: Reader) -> None:
    before, _, after = GUIDE.partition("Correct the job")
    with reader.developing():
        for step in steps_of(before):
            reader.follow(step)
        correction = CORRECTION.search(after)
        assert correction is not None
        job = reader.folder / "src" / "jobs" / "send_invoice.py"
        assert correction[2] in job.read_text()
        starts = len(re.findall(r"\bworker\.ready\b", reader.log.read_text("utf-8")))
        job.write_text(job.read_text().replace(correction[2], correction[1]))
        reader.until_it_works(starts + 1)
        for step in steps_of(after):
            reader.follow(step)
    assert (reader.folder / ".rota" / "invoices" / "9.txt").read_text() == "Order 9: 0 for 0.00 EUR each\n"
    assert len(reader.commands) >= 9
