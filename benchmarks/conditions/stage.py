"""A stage: a private server, workers on it in processes of their own, and a client that fills their queues."""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import rota
from benchmarks.bench import LOOK, STANDSTILL, WARM_UP
from benchmarks.conditions.jobs import QUEUES, TASKS
from benchmarks.failures import LedgerMismatch
from benchmarks.figures import Counters, completion_rate
from benchmarks.process import WorkerProcess
from benchmarks.server import PrivateServer
from benchmarks.systems import CONCURRENCY
from rota.settings.load import load
from rota.wire.keys import queue_key

COMMAND = (sys.executable, "-m", "rota", "worker")
#: Jobs of one call of the client: enough for its portions, few enough for the memory of the driver.
_CALL = 20_000
_LEFT = "local left = 0 for _, key in ipairs(KEYS) do left = left + redis.call('ZCARD', key) end return left"

#: No variables beside those of every worker.
NONE: Mapping[str, str] = {}
#: Yields the address at which workers and clients find the server; of a way that is longer than the direct one.
Way = Callable[[int], AbstractAsyncContextManager[str]]


@dataclass(frozen=True, slots=True)
class Worked:
    """The figures of a backlog of `jobs` that was worked off: jobs a second, and CPU seconds."""

    jobs: int
    per_s: float
    worker: float
    did: Counters

    def figures(self) -> dict[str, float]:
        """Return the rate, and what a job has cost the workers and the server, in microseconds."""
        return {
            "per_s": self.per_s,
            "worker_us": self.worker / self.jobs * 1e6,
            "redis_us": self.did.cpu / self.jobs * 1e6,
        }


@dataclass
class Stage:
    """A server, the workers on it, and how many jobs it was given; `address` is where workers find the server."""

    server: PrivateServer
    address: str
    folder: Path
    client: rota.Client
    queues: Sequence[str]
    enqueued: int = 0
    workers: list[WorkerProcess] = field(default_factory=list)
    _runs: list[int] = field(default_factory=list)
    _folders: Iterator[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def worker(
        self, variables: Mapping[str, str] = NONE, *, command: Sequence[str] = COMMAND
    ) -> AsyncIterator[WorkerProcess]:
        """Run one more worker process while a block lasts."""
        folder = self.folder / f"worker-{next(self._folders)}"
        folder.mkdir()
        env = {
            "JOBS_PACKAGE": "benchmarks.conditions.jobs",
            "WORKER_QUEUES": ",".join(self.queues),
            "QUEUE_CONCURRENCY": str(CONCURRENCY),
            "LOG_LEVEL": "warning",
            **variables,
        }
        async with WorkerProcess(command, env, self.address, folder) as worker:
            self.workers.append(worker)
            try:
                yield worker
            finally:
                self.workers.remove(worker)

    async def fill(self, task: str, count: int) -> None:
        """Enqueue `count` jobs in bulk, by turns in each of the queues."""
        jobs = TASKS[task][: len(self.queues)]
        numbers = self.numbers(count)
        for start in range(0, count, _CALL):
            part = numbers[start : start + _CALL]
            await self.client.enqueue_many(jobs[number % len(jobs)].call(number) for number in part)

    def numbers(self, count: int) -> range:
        """Return `count` numbers that no job has had before."""
        self.enqueued += count
        return range(self.enqueued - count, self.enqueued)

    async def left(self) -> int:
        """Return how many jobs of all queues wait or run."""
        keys = [queue_key(queue) for queue in self.queues]
        return int(await self.server.redis.eval(_LEFT, len(keys), *keys))

    async def until(self, most: int) -> list[tuple[float, int]]:
        """Wait until at most `most` jobs are left: (seconds, jobs left) of every look. Raises WorkerFailed."""
        looks: list[tuple[float, int]] = []
        moved = time.perf_counter()
        while True:
            left, now = await self.left(), time.perf_counter()
            if not looks or left < looks[-1][1]:
                moved = now
            looks.append((now, left))
            if left <= most:
                return looks
            for worker in self.workers:
                worker.check()
            if now - moved > STANDSTILL:
                raise self.workers[0].failed(f"{left} jobs did not finish")
            await asyncio.sleep(LOOK)

    def cpu(self) -> float:
        """Return the CPU seconds of all workers so far."""
        return sum(worker.cpu() for worker in self.workers)

    async def work_off(self, task: str, count: int) -> Worked:
        """Fill the queues of workers that stand still, and measure how they empty them."""
        for worker in self.workers:
            await worker.freeze()
        await self.fill(task, count)
        before, cpu = await self.server.counters(), self.cpu()
        thawed = (time.perf_counter(), count)
        for worker in self.workers:
            worker.thaw()
        looks = await self.until(0)
        cpu = self.cpu() - cpu
        did = (await self.server.counters()).since(before, own=len(looks) + 1)
        return Worked(count, completion_rate([thawed, *looks], count), cpu, did)

    async def end(self) -> None:
        """Stop the workers, and compare all that ever ran with what was enqueued. Raises LedgerMismatch."""
        for worker in self.workers:
            self._runs += await worker.stop()
        check(self._runs, self.enqueued, await self.left())


def check(runs: Sequence[int], enqueued: int, left: int) -> None:
    """Raise LedgerMismatch unless each job ran once or is left."""
    once = len(set(runs))
    if once != len(runs) or once + left != enqueued:
        told = f"of {enqueued} jobs {left} are left, {once} ran, and {len(runs) - once} ran again"
        raise LedgerMismatch(told)


@asynccontextmanager
async def directly(port: int) -> AsyncIterator[str]:
    """Yield the address of a server that listens on `port` of this machine."""
    yield f"redis://127.0.0.1:{port}/0"


@asynccontextmanager
async def staged(
    *, queues: int = 1, workers: int = 1, way: Way = directly, variables: Mapping[str, str] = NONE
) -> AsyncIterator[Stage]:
    """Run a server, workers and a client while a block lasts; the client is direct, the workers go `way`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        server = await stack.enter_async_context(PrivateServer(folder))
        address = await stack.enter_async_context(way(server.port))
        client = await stack.enter_async_context(await rota.connect(load({"REDIS_URL": server.url})))
        stage = Stage(server, address, folder, client, QUEUES[:queues])
        for _ in range(workers):
            await stack.enter_async_context(stage.worker(variables))
        if workers:
            await stage.fill("noop", WARM_UP * workers)
            await stage.until(0)
        yield stage
