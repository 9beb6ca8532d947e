"""docs/from-arq.md on its own project: from arq's workers to ours and back, under load; each job ends exactly once.

`FROM_ARQ_JOBS` says how many jobs there are at least, `FROM_ARQ_WORKERS` how many workers of each kind; few by default.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from tests.processes import ROOT, environment, start
from tests.servers import RedisServer
from tests.waiting import until

PAGE = (ROOT / "docs" / "from-arq.md").read_text("utf-8")
(APP,) = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
COMMANDS = set(re.findall(r"(?m)^ {4,}((?:arq|rota) \S.*)$", PAGE))
STOCK, OURS = "arq app.WorkerSettings", "rota arq app.WorkerSettings"
JOBS = int(os.environ.get("FROM_ARQ_JOBS", "200"))
WORKERS = range(int(os.environ.get("FROM_ARQ_WORKERS", "1")))


class Project:
    """The page's project, and the processes of its commands."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self._folder = folder
        self._environment = environment(REDIS_URL=server.url)
        self.ran: set[str] = set()
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "app.py").write_text(APP)

    def start(self, command: str) -> "Process":
        """Start a command of the page, and remember that it ran."""
        self.ran.add(command)
        process = Process(
            self._folder / f"{len(self.processes)}.log", command, self._folder, self._environment
        )
        self.processes.append(process.process)
        return process

    async def run(self, command: str) -> int:
        """Run a command of the page to its end, and return its status."""
        return await asyncio.to_thread(self.start(command).process.wait, 40)


class Process:
    """A command while it runs."""

    def __init__(self, log: Path, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._log = log
        module, *arguments = command.split()
        with log.open("wb") as out:
            self.process = start(
                *arguments,
                module=module,
                cwd=folder,
                environment=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def done(self) -> int:
        """Return how many jobs it has completed, by its log."""
        return self._log.read_text("utf-8").count(" ← ")

    def works(self) -> bool:
        """Tell whether its worker has started, by its log."""
        return "Starting worker" in self._log.read_text("utf-8")

    async def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and see that it ends in order."""
        self.process.send_signal(signum)
        assert await asyncio.to_thread(self.process.wait, 40) == 0, self._log.read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path, server: RedisServer) -> Iterator[Project]:
    project = Project(tmp_path, server)
    yield project
    for process in project.processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


class Load:
    """An application that enqueues jobs with arq's client, until it is ended."""

    def __init__(self, redis: ArqRedis) -> None:
        self.jobs = 0
        self._redis = redis
        self._enough = asyncio.Event()
        self._feeding = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        while self.jobs < JOBS or not self._enough.is_set():
            await self._enqueue()
            await asyncio.sleep(0.02)

    async def more_at_once(self) -> None:
        """Enqueue more jobs than the worker that hears of them first can take, so that one that polls has its share."""
        await asyncio.gather(*(self._enqueue() for _ in range(50)))

    async def _enqueue(self) -> None:
        number = self.jobs
        self.jobs += 1
        await self._redis.enqueue_job("send", number)

    async def end(self) -> None:
        self._enough.set()
        await self._feeding


@pytest.mark.timeout(300)
async def test_workers_are_exchanged_and_back_and_each_job_ends_once(
    project: Project, redis: ArqRedis
) -> None:
    load = Load(redis)
    old = [project.start(STOCK) for _ in WORKERS]
    await until(lambda: all(worker.done() for worker in old))
    new = [project.start(OURS) for _ in WORKERS]
    await until(lambda: all(worker.done() for worker in new))
    assert await project.run(f"{OURS} --check") == 0
    for worker in old:
        await worker.stop()
    before = new[0].done()
    await until(lambda: new[0].done() > before)
    back = project.start(STOCK)
    await until(back.works)
    await until(lambda: shared(load, back))
    for worker in new:
        await worker.stop()
    await load.end()
    await until(lambda: all_sent(redis, load.jobs))
    await back.stop()
    watching = project.start(f"{OURS} --watch .")
    assert await project.run(f"{OURS} --burst") == 0
    await until(watching.works)
    await watching.stop(signal.SIGINT)
    sent = await until(lambda: redis.hgetall("sent"))
    assert set(sent.values()) == {b"1"}
    assert len(await redis.keys("arq:result:*")) == load.jobs
    assert sum(worker.done() for worker in (*old, *new, back)) == load.jobs
    await until(lambda: nothing_is_left(redis))
    assert project.ran == COMMANDS


async def shared(load: Load, worker: Process) -> bool:
    """Tell whether `worker` has had a share of the jobs, and enqueue more."""
    await load.more_at_once()
    return bool(worker.done())


async def all_sent(redis: ArqRedis, jobs: int) -> bool:
    """Tell whether every job has ended, at least once."""
    return len(await until(lambda: redis.hgetall("sent"))) == jobs


async def nothing_is_left(redis: ArqRedis) -> bool:
    """Tell whether only keys are there that arq leaves too, or that expire."""
    kept = [key for key in await redis.keys("*") if await redis.ttl(key) == -1]
    return kept == [b"sent"]
