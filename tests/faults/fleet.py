"""Real worker processes for fault tests: started, signalled and watched from outside, with a ledger beside Redis."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import rota
from rota import Client
from tests.faults.jobs_for_faults.ledger import VARIABLE
from tests.waiting import until

ROOT = Path(__file__).parents[2]
#: Workers run the engine that the tests import.
ENGINE = Path(rota.__file__).parents[1]
JOBS = "tests.faults.jobs_for_faults"

#: 1 runs every fault at its full size; every change runs a sample of it. The seed chooses the moments of faults.
SCALE = float(os.environ.get("FAULTS_SCALE", "0.1"))
SEED = int(os.environ.get("FAULTS_SEED", "1"))
FULL = SCALE >= 1


def scaled(full: int, at_least: int = 1) -> int:
    """A count of the full test, in this run's size."""
    return max(at_least, round(full * SCALE))


def sized(full: float, sample: float) -> float:
    """A time of the full test, or of its sample."""
    return full if FULL else sample


async def records(client: Client, *types: str) -> Counter[str]:
    """How often each job has an event of one of `types` in the stream that the scripts write."""
    entries = await client.redis.xrange("rota:events")
    return Counter(fields[b"id"].decode() for _, fields in entries if fields[b"type"].decode() in types)


def gone(pid: int) -> bool:
    """Whether no process runs under `pid`; one that ended and was not yet fetched by its parent has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class Entry(NamedTuple):
    """One line of the ledger; `at` is monotonic, the same in all processes of a machine."""

    id: str
    attempt: int
    pid: int
    event: str
    at: float


class Ledger:
    """What the handlers wrote down, read from outside."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.path = path
        self._file = path.open(encoding="utf-8")
        self._entries: list[Entry] = []
        self._rest = ""

    def entries(self, event: str | None = None) -> list[Entry]:
        """All lines so far, or those of one event, in the order in which they were written."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            job_id, attempt, pid, name, at = line.split()
            self._entries.append(Entry(job_id, int(attempt), int(pid), name, float(at)))
        return [entry for entry in self._entries if event in (None, entry.event)]

    def times(self, event: str) -> Counter[str]:
        """How often each job noted `event`."""
        return Counter(entry.id for entry in self.entries(event))

    def twice(self, event: str) -> set[str]:
        """The jobs that noted `event` more than once."""
        return {job_id for job_id, times in self.times(event).items() if times > 1}

    def running(self, pid: int) -> set[str]:
        """The jobs that started in `pid` and did not end there."""
        own = [entry for entry in self.entries() if entry.pid == pid]
        return {entry.id for entry in own if entry.event == "start"} - {
            entry.id for entry in own if entry.event != "start"
        }

    def close(self) -> None:
        self._file.close()


class Worker:
    """One process `python -m rota`, and its log as the events that it and its children wrote."""

    def __init__(self, log: Path, environment: dict[str, str], *arguments: str) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rota", *arguments],
                cwd=log.parent,
                env=environment,
                stdout=out,
                stderr=out,
                # A group of its own: a signal to the group is what a terminal sends.
                start_new_session=True,
            )
        self.pid = self._process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, with their fields."""
        lines = (line for line in self.log.read_text("utf-8").split("\n") if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def says(self, name: str) -> bool:
        """Whether the log has a line of this event."""
        return bool(self.events(name))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, signum: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or to it and all its children."""
        (os.killpg if group else os.kill)(self.pid, signum)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._process.kill()
        self._process.wait(10)

    async def ended(self, seconds: float = 30.0) -> int:
        """Its exit status, once it has ended."""
        await until(lambda: not self.alive, f"worker {self.pid} ends; its log: {self.log}", seconds)
        status: int = self._process.returncode
        return status

    def close(self) -> None:
        """End it and every child it may have left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)


class Fleet:
    """Workers on one server, with what their handlers wrote down."""

    def __init__(self, folder: Path, url: str) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.workers: list[Worker] = []
        self._folder = folder
        self._url = url

    async def start(self, count: int = 1, **settings: object) -> list[Worker]:
        """Start `count` workers with `settings` (lower-case names of variables), and wait until all are ready."""
        started = [self.spawn(**settings) for _ in range(count)]
        for worker in started:
            await until(lambda worker=worker: worker.says("worker.ready"), f"ready: {worker.log}")
        return started

    def spawn(self, *arguments: str, **settings: object) -> Worker:
        """Start one worker, and do not wait for it; `arguments` are those of its command."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        worker = Worker(log, self._environment(settings), *arguments)
        self.workers.append(worker)
        return worker

    def _environment(self, settings: dict[str, object]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "PYTHONPATH": f"{ENGINE}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            VARIABLE: str(self.ledger.path),
            "REDIS_URL": self._url,
            "JOBS_PACKAGE": JOBS,
            "LOG_FORMAT": "json",
            "METRICS_PORT": "0",
            **{name.upper(): str(value) for name, value in settings.items()},
        }

    async def all_ended(self, ids: Iterable[str], seconds: float = 60.0) -> None:
        """Wait until each of these jobs has ended once at least."""
        wanted = set(ids)
        await until(
            lambda: wanted <= self.ledger.times("end").keys(),
            f"all of {len(wanted)} jobs end; seed {SEED}",
            seconds,
        )

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.ledger.close()
