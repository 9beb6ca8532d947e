"""SAQ, by its queue in Redis."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from saq import Queue, Worker

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import gathered, serve


async def noop(context: object, *, number: int) -> int:
    return await bodies.noop(number)


async def nap(context: object, *, number: int) -> int:
    return await bodies.nap(number)


class Client:
    """SAQ's queue; it has no call for many."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    async def one(self, task: str, number: int) -> None:
        await self._queue.enqueue(task, number=number)

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        await gathered(self.one, task, numbers)


async def worker(concurrency: int) -> None:
    queue = Queue.from_url(os.environ["REDIS_URL"])
    await Worker(queue, [noop, nap], concurrency=concurrency).start()


async def client() -> None:
    queue = Queue.from_url(os.environ["REDIS_URL"])
    await queue.connect()
    await serve(Client(queue))


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        asyncio.run(worker(int(sys.argv[2])))
    else:
        uvloop.run(client())
