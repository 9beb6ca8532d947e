"""BullMQ for Python, on asyncio as it comes."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from bullmq import Queue, Worker

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve

URL = os.environ["REDIS_URL"]
BODIES = {"noop": bodies.noop, "nap": bodies.nap}


class Client:
    """BullMQ's queue, alone and in bulk."""

    def __init__(self) -> None:
        self._queue: Any = Queue("bench", {"connection": URL})

    async def one(self, task: str, number: int) -> None:
        await self._queue.add(task, {"number": number})

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        await self._queue.addBulk([{"name": task, "data": {"number": number}} for number in numbers])


async def process(job: Any, token: str) -> int:
    """Run the job's body, which its name says."""
    return await BODIES[job.name](job.data["number"])


async def worker(concurrency: int) -> None:
    """Work until the process is told to end."""
    Worker("bench", process, {"connection": URL, "concurrency": concurrency})
    await asyncio.Event().wait()


async def client() -> None:
    await serve(Client())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        asyncio.run(worker(int(sys.argv[2])))
    else:
        uvloop.run(client())
