"""A shop whose workers run beside the commands of a page, as on a reader's machine."""

import itertools
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.project import Project, Ran
from tests.processes import Worker
from tests.servers import RedisServer
from tests.template.consoles import Console
from tests.waiting import wait_until

JOBS = '''
"""The jobs of a shop."""

import asyncio
import time

from rota import Run, at_most, every, job


@job(queue="email", max_attempts=1)
async def send(run: Run, to: str) -> str:
    if "@" not in to:
        raise ValueError(f"{to!r} is not an address")
    return f"sent to {to}"


@job(queue="reports", timeout=7200)
async def build(run: Run, month: str) -> str:
    run.progress(40, "page 2 of 5")
    run.checkpoint({"page": 2})
    await asyncio.sleep(3600)
    return month


@job(queue="reports", concurrency=at_most(1, key="customer"))
async def bill(run: Run, customer: str) -> None:
    await asyncio.sleep(3600)


@job(queue="images")
async def convert(run: Run, path: str) -> None:
    time.sleep(20)


@every("0 4 * * *")
@job
async def tidy(run: Run) -> None: ...
'''


class Shop(Project):
    """A project whose workers run beside the commands of the page."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str], server: RedisServer) -> None:
        super().__init__(folder, captured, server.url)
        self.server = server
        self.write("jobs/__init__.py", JOBS)
        self.workers: list[Worker] = []
        #: Variables of the commands.
        self.variables: dict[str, str] = {}

    def run(self, console: Console) -> Ran:
        """Run a command of the page, behind the variables that it sets; `rota tail` until it has said what is shown."""
        words = console.words()
        variables = dict(itertools.takewhile(lambda pair: pair[1:], (word.split("=", 1) for word in words)))
        words = words[len(variables) :]
        variables |= self.variables
        if words[:2] == ["rota", "tail"]:
            return self._followed(words[1:], len(console.shown))
        if words == ["rota", "worker"]:
            return self._worked(variables)
        if words[0] == "rota":
            return self.rota(*words[1:], **variables)
        ran = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def _worked(self, variables: dict[str, str]) -> Ran:
        """Run a worker until it ends by itself."""
        given = {"METRICS_PORT": "off", "NO_COLOR": "1", **variables}
        process = self.process("worker", **given)
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err)

    def _followed(self, words: list[str], lines: int) -> Ran:
        process = self.process(*words)
        assert process.stdout is not None
        out = "".join(process.stdout.readline() for _ in range(lines))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        return Ran(0, out, "")

    def work(self, **variables: str) -> Worker:
        """Start a worker, and wait until it works."""
        given = {"METRICS_PORT": "off", "NO_COLOR": "1", **variables}
        # The page looks into the log of the last one.
        worker = Worker(self.folder / "workers.log", self.environment(**given))
        self.workers.append(worker)
        self.logged("worker.ready")
        return worker

    def logged(self, event: str) -> None:
        """Wait until the last worker has logged an event."""
        log = self.folder / "workers.log"
        wait_until(lambda: f" {event} " in log.read_text("utf-8"), f"{event} is logged")

    def enqueue(self, job: str, payload: str, **options: str) -> None:
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        ran = self.rota("enqueue", job, payload, *words)
        assert ran.status == 0, ran.err

    def until(self, text: str, *words: str) -> None:
        """Wait until the output of a command has a text."""
        wait_until(lambda: text in self.rota(*words).out, f"rota {' '.join(words)} says {text}")
