"""Fleets of worker processes for fault tests, watched from outside, with a ledger beside Redis."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rota import Client
from tests.faults.jobs_for_faults.ledger import VARIABLE
from tests.processes import ROOT, Worker, environment, start
from tests.streams import events_in
from tests.waiting import until

JOBS = "tests.faults.jobs_for_faults"

#: 1 runs every fault at its full size; every change runs a sample of it. The seed chooses the moments of faults.
SCALE = float(os.environ.get("FAULTS_SCALE", "0.07"))
SEED = int(os.environ.get("FAULTS_SEED", "1"))
FULL = SCALE >= 1
EVENTS_KEPT = 1_000_000


def scaled(full: int, at_least: int = 1) -> int:
    """Scale a count of the full test to this run's size."""
    return max(at_least, round(full * SCALE))


def sized(full: float, sample: float) -> float:
    """Choose the time of the full test, or of its sample."""
    return full if FULL else sample


async def records(client: Client, *types: str) -> Counter[str]:
    """Count, for each job, the events of these `types` in the stream that the scripts write."""
    entries = await client.redis.xrange("rota:events")
    return Counter(event.id for event in events_in(entries) if event.type in types)


class Entry(NamedTuple):
    """One line of the ledger; `at` is monotonic, the same in all processes of a machine."""

    id: str
    attempt: int
    pid: int
    event: str
    at: float


class Ledger:
    """The file in which handlers note what they do, read from outside."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.path = path
        self._file = path.open(encoding="utf-8")
        self._entries: list[Entry] = []
        self._rest = ""

    def entries(self, event: str | None = None) -> list[Entry]:
        """Return all lines so far, or the lines of one event, in the order in which they were written."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            job_id, attempt, pid, name, at = line.split()
            self._entries.append(Entry(job_id, int(attempt), int(pid), name, float(at)))
        return [entry for entry in self._entries if event in (None, entry.event)]

    def times(self, event: str) -> Counter[str]:
        """Count how often each job noted `event`."""
        return Counter(entry.id for entry in self.entries(event))

    def twice(self, event: str) -> set[str]:
        """Return the jobs that noted `event` more than once."""
        return {job_id for job_id, times in self.times(event).items() if times > 1}

    def running(self, pid: int) -> set[str]:
        """Return the jobs that started in `pid` and did not end there."""
        own = [entry for entry in self.entries() if entry.pid == pid]
        return {entry.id for entry in own if entry.event == "start"} - {
            entry.id for entry in own if entry.event != "start"
        }

    def close(self) -> None:
        self._file.close()


class Fleet:
    """Workers on one server, and the ledger of their handlers."""

    def __init__(self, folder: Path, url: str) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.workers: list[Worker] = []
        self._unread: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._url = url

    async def start(self, count: int = 1, **settings: object) -> list[Worker]:
        """Start `count` workers with `settings` (lower-case names of variables), and wait until all are ready."""
        started = [self.spawn(**settings) for _ in range(count)]
        for worker in started:
            await until(lambda worker=worker: worker.says("worker.ready"), f"ready: {worker.log}")
        return started

    def spawn(self, *arguments: str, **settings: object) -> Worker:
        """Start one worker without waiting for it; `arguments` are those of its command."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        worker = Worker(log, self._environment(settings), *arguments)
        self.workers.append(worker)
        return worker

    def on_terminal(self, terminal: str) -> Worker:
        """Start one worker on `terminal`, a device, which gets its log."""
        worker = Worker(self._folder / "none.log", self._environment({}), terminal=terminal)
        self.workers.append(worker)
        return worker

    def unread(self, **settings: object) -> "subprocess.Popen[bytes]":
        """Start one worker whose log is a pipe that nobody reads, until the test does."""
        environment = self._environment(settings)
        process = start("worker", cwd=self._folder, environment=environment, stderr=subprocess.PIPE)
        self._unread.append(process)
        return process

    def _environment(self, settings: dict[str, object]) -> dict[str, str]:
        own = {
            "HOME": str(self._folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            VARIABLE: str(self.ledger.path),
            "REDIS_URL": self._url,
            "JOBS_PACKAGE": JOBS,
            "LOG_FORMAT": "json",
            "METRICS_PORT": "0",
            "EVENTS_MAXLEN": str(EVENTS_KEPT),
        }
        given = {name.upper(): str(value) for name, value in settings.items()}
        return environment(ROOT, **{**own, **given})

    async def all_ended(self, ids: Iterable[str], seconds: float = 60.0) -> None:
        """Wait until each of these jobs has ended at least once."""
        wanted = set(ids)
        await until(
            lambda: wanted <= self.ledger.times("end").keys(),
            f"all of {len(wanted)} jobs end; seed {SEED}",
            seconds,
        )

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        for process in self._unread:
            process.kill()
            process.communicate()
        self.ledger.close()
