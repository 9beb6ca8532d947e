"""One system on a private server: its worker, its producers, and the numbers of the jobs it was given."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from arq.constants import result_key_prefix
from arq.jobs import deserialize_result

from benchmarks.failures import LedgerMismatch
from benchmarks.process import WorkerProcess
from benchmarks.producers import Producer
from benchmarks.server import PrivateServer
from benchmarks.systems import System

#: How often the driver looks how many jobs are left, in seconds.
LOOK = 0.005
#: A system that finishes nothing for this long has failed, in seconds.
STANDSTILL = 60.0
_PAGE = 500


@dataclass
class Bench:
    """A system under measurement. `producer` is what its users enqueue with, `stock` arq's client (maybe the same)."""

    system: System
    server: PrivateServer
    worker: WorkerProcess
    producer: Producer
    stock: Producer
    enqueued: int = 0

    def numbers(self, count: int) -> range:
        """Return `count` numbers that no job has had before."""
        self.enqueued += count
        return range(self.enqueued - count, self.enqueued)

    async def drain(self) -> list[tuple[float, int]]:
        """Wait until the queue is empty: (seconds, jobs left) of every look. Raises WorkerFailed."""
        samples: list[tuple[float, int]] = []
        moved = time.perf_counter()
        while True:
            left = await self.server.redis.zcard(self.system.queue)
            now = time.perf_counter()
            if not samples or left < samples[-1][1]:
                moved = now
            samples.append((now, left))
            if left == 0:
                return samples
            self.worker.check()
            if now - moved > STANDSTILL:
                raise self.worker.failed(f"{left} jobs did not finish")
            await asyncio.sleep(LOOK)

    async def results(self, ids: Sequence[str]) -> list[Any]:
        """Return the results of the jobs. Raises LedgerMismatch for a job without a good result in Redis."""
        values = []
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            for raw in await self.server.redis.mget(result_key_prefix + job_id for job_id in page):
                if raw is None:
                    raise LedgerMismatch(f"a job of {self.system.title} left no result")
                result = deserialize_result(raw, deserializer=self.system.loads)
                if not result.success:
                    raise LedgerMismatch(f"a job of {self.system.title} failed: {result.result!r}")
                values.append(result.result)
        return values


@asynccontextmanager
async def set_up(system: System, command: Sequence[str] = ()) -> AsyncIterator[Bench]:
    """Run a server, a warmed-up worker process of `system` (or `command`) and the producers while a block lasts."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with PrivateServer(folder) as server:
            stock = await system.stock(server.url)
            producer = await system.own(server.url) if system.own else stock
            async with WorkerProcess(command or system.command(), system.env, server.url, folder) as worker:
                bench = Bench(system, server, worker, producer, stock)
                try:
                    await warm_up(bench)
                    yield bench
                finally:
                    await stock.close()
                    if producer is not stock:
                        await producer.close()


async def warm_up(bench: Bench) -> None:
    """Run some jobs of each client, so that connections, scripts and caches are warm."""
    for producer in (bench.producer, bench.stock):
        ids = await producer.many("noop", bench.numbers(WARM_UP))
        await bench.drain()
        await bench.results(ids)


#: Jobs of each warm-up.
WARM_UP = 100
