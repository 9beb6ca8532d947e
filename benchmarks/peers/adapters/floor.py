"""The floor: a bare loop on arq's keys, which shows what the stack can reach: not a product.

One script settles up to 50 finished jobs and claims the next; two calls of it are in flight; an idle worker waits on a
list. There is nothing else: no retries, events, types, metrics, lost jobs. BENCH_KIND says by what it talks to Redis:
redis-py, or hiredis on a protocol of asyncio.
"""

import asyncio
import os
import pickle
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from benchmarks.functions import FUNCTIONS
from benchmarks.peers.adapters import connection
from benchmarks.peers.adapters.common import serve

#: The most jobs of one call.
TOGETHER = 50
IN_FLIGHT = 2
QUEUE, WAKE = "arq:queue", "floor:wake"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
#: The most seconds for which an idle worker waits without a word to the server.
IDLE = 1
TASKS = {function.__name__: function for function in FUNCTIONS}
SCRIPTS = Path(__file__).parent


class Client:
    """Enqueues by one script, one job or many."""

    def __init__(self, redis: connection.Redis) -> None:
        self._redis = redis

    async def start(self) -> None:
        self._script = await self._redis.load((SCRIPTS / "floor_enqueue.lua").read_text())

    async def one(self, task: str, number: int) -> None:
        await self.many(task, (number,))

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        now = int(time.time() * 1000)
        for start in range(0, len(numbers), 500):
            jobs: list[Any] = []
            for number in numbers[start : start + 500]:
                job: dict[str, Any] = {"t": None, "f": task, "a": (number,), "k": {}, "et": now}
                jobs += (uuid4().hex, pickle.dumps(job))
            await self._redis.run(self._script, QUEUE, WAKE, now, DAY_MS, *jobs)


class Worker:
    """Keeps up to `concurrency` jobs running."""

    def __init__(self, redis: connection.Redis, concurrency: int) -> None:
        self._redis = redis
        self._free = concurrency
        #: Ids and results, by turns.
        self._finished: list[Any] = []
        self._some_finished = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Held by the call that waits for new jobs; the other waits for running ones.
        self._idle = asyncio.Lock()

    async def run(self) -> None:
        self._script = await self._redis.load((SCRIPTS / "floor.lua").read_text())
        await asyncio.gather(*(self._go_on() for _ in range(IN_FLIGHT)))

    async def _go_on(self) -> None:
        while True:
            if not self._finished and not self._free:
                await self._next_finished()
            settled = self._finished[: 2 * TOGETHER]
            del self._finished[: 2 * TOGETHER]
            wanted = min(TOGETHER, self._free)
            self._free -= wanted
            now = int(time.time() * 1000)
            claimed = await self._redis.run(self._script, QUEUE, WAKE, now, wanted, HOUR_MS, *settled)
            ids, payloads = claimed or ((), ())
            self._free += wanted - len(ids)
            for job_id, payload in zip(ids, payloads, strict=True):
                task = asyncio.create_task(self._run(job_id, payload))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if len(ids) < wanted:
                await self._more()

    async def _more(self) -> None:
        """Wait for new jobs or for running ones, after the queue was empty."""
        if self._finished:
            return
        if self._idle.locked():
            await self._next_finished()
            return
        async with self._idle:
            await self._redis.wait(WAKE, IDLE)

    async def _next_finished(self) -> None:
        self._some_finished.clear()
        await self._some_finished.wait()

    async def _run(self, job_id: bytes, payload: bytes) -> None:
        job = pickle.loads(payload)
        started = int(time.time() * 1000)
        value = await TASKS[job["f"]]({}, *job["a"], **job["k"])
        result = {
            **job,
            "t": 1,
            "s": True,
            "r": value,
            "st": started,
            "ft": int(time.time() * 1000),
            "q": QUEUE,
            "id": job_id,
        }
        self._finished += (job_id, pickle.dumps(result))
        self._free += 1
        self._some_finished.set()


async def main(role: str, concurrency: int) -> None:
    redis = await connection.connect(os.environ["REDIS_URL"], os.environ["BENCH_KIND"])
    if role == "worker":
        await Worker(redis, concurrency).run()
    else:
        client = Client(redis)
        await client.start()
        await serve(client)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
