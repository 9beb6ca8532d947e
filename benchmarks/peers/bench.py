"""One system on a private server: its workers, the process that enqueues, and the jobs that it was given."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from benchmarks import ledger
from benchmarks.bench import STANDSTILL
from benchmarks.failures import WorkerFailed
from benchmarks.ledger import Readings, Run
from benchmarks.peers.catalogue import Peer
from benchmarks.process import WorkerProcess, environment
from benchmarks.server import PrivateServer

CONCURRENCY = 100
#: How often the driver looks how many jobs have run, in seconds. When each ran, it reads in the ledger.
LOOK = 0.02
#: A client that does not carry out an order in this time has failed, in seconds.
ANSWER_WITHIN = 300.0
#: The time from the last job's body until the system has written down that the job ended, in seconds.
SETTLE = 0.2
#: The time from a worker's end until the server has closed its connections, in seconds.
GONE = 0.2
#: Jobs of a warm-up: a share of what a second brings, so that Node has compiled what it will.
_WARM_UP, _LEAST_WARM_UP = 0.2, 100


class ClientProcess:
    """A process that enqueues as the driver orders."""

    def __init__(self, peer: Peer, url: str, folder: Path) -> None:
        self._command = peer.client()
        self._env = environment(peer.variables(CONCURRENCY), url)
        self._folder = folder

    async def __aenter__(self) -> Self:
        self._log = self._folder / "client.log"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
                limit=1 << 24,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def carry_out(self, do: str, task: str, numbers: range, **order: Any) -> dict[str, Any]:
        """Give an order, and wait for its answer. Raises WorkerFailed."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        words = {"do": do, "task": task, "first": numbers.start, "count": len(numbers), **order}
        pipe_in.write(json.dumps(words).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                line = await pipe_out.readline()
        except TimeoutError:
            line = b""
        if not line:
            tail = self._log.read_text("utf-8", "replace")[-2_000:]
            raise WorkerFailed(f"the client {' '.join(self._command[1:])} gave no answer\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Bench:
    """A system under measurement, with the workers that it has now."""

    peer: Peer
    server: PrivateServer
    client: ClientProcess
    folder: Path
    readings: Readings
    enqueued: int = 0
    workers: list[WorkerProcess] = field(default_factory=list)

    async def enqueue(self, do: str, task: str, count: int, **order: Any) -> dict[str, Any]:
        """Enqueue `count` jobs of numbers that no job has had before."""
        self.enqueued += count
        numbers = range(self.enqueued - count, self.enqueued)
        return await self.client.carry_out(do, task, numbers, **order)

    async def fill(self, task: str, count: int) -> None:
        """Enqueue in bulk, as far as there are jobs left to enqueue."""
        if count > 0:
            await self.enqueue("many", task, count)

    async def drain(self) -> list[Run]:
        """Wait until every job has run; those that ran since the last drain. Raises WorkerFailed, LedgerMismatch."""
        before = seen = len(self.readings.runs)
        moved = time.monotonic()
        while (now_seen := self.readings.go_on()) < self.enqueued:
            now = time.monotonic()
            if now_seen > seen:
                seen, moved = now_seen, now
            for worker in self.workers:
                worker.check()
            if now - moved > STANDSTILL:
                raise self.workers[0].failed(f"{self.enqueued - seen} jobs did not run")
            await asyncio.sleep(LOOK)
        await asyncio.sleep(SETTLE)
        self.readings.go_on()
        return self.readings.runs[before:]

    def check(self) -> None:
        """Raise LedgerMismatch unless every job ran once."""
        ledger.check([number for number, _ in self.readings.runs], self.enqueued)

    @asynccontextmanager
    async def worker(self, concurrency: int = CONCURRENCY) -> AsyncIterator[float]:
        """Run one more worker while a block lasts; the seconds from its start until a job of it has run."""
        others, busy = bool(self.workers), self.readings.processes
        await self.enqueue("one", "noop", 1)
        began = time.monotonic_ns()
        variables, command = self.peer.variables(concurrency), self.peer.worker(concurrency)
        async with WorkerProcess(command, variables, self.server.url, self.folder) as worker:
            self.workers.append(worker)
            try:
                first = (await self.drain())[0][1]
                while others and self.readings.processes == busy:
                    await self.fill("noop", _LEAST_WARM_UP)
                    await self.drain()
                    if time.monotonic_ns() - began > STANDSTILL * 1e9:
                        raise worker.failed("it got no job beside another worker")
                await self.enqueue("one", "noop", _LEAST_WARM_UP)
                await self.fill("noop", max(_LEAST_WARM_UP, round(self.peer.speed * _WARM_UP)))
                await self.drain()
                yield (first - began) / 1e9
            finally:
                self.workers.remove(worker)
        # Until the server knows that it is gone: it could hand it a job, which the simplest systems lose with it.
        await asyncio.sleep(GONE)

    async def freeze(self) -> None:
        for worker in self.workers:
            await worker.freeze()

    def thaw(self) -> None:
        for worker in self.workers:
            worker.thaw()

    def cpu(self) -> float:
        """Add up the seconds of all workers."""
        return sum(worker.cpu() for worker in self.workers)


@asynccontextmanager
async def set_up(peer: Peer) -> AsyncIterator[Bench]:
    """Run a server and a client while a block lasts, and check the ledger after it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        server = await stack.enter_async_context(PrivateServer(folder))
        client = await stack.enter_async_context(ClientProcess(peer, server.url, folder))
        bench = Bench(peer, server, client, folder, Readings(folder / "ledger"))
        (folder / "ledger").mkdir()
        yield bench
        bench.check()


def rate(runs: Sequence[Run]) -> float:
    """Return the jobs a second from the first that ran to the last."""
    times = [when for _, when in runs]
    return (len(times) - 1) / (max(times) - min(times)) * 1e9
