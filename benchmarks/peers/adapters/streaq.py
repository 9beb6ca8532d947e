"""streaq, on asyncio as it comes."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from streaq import Worker

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve

WORKER: Any = Worker(
    redis_url=os.environ["REDIS_URL"], concurrency=int(sys.argv[2]) if sys.argv[1] == "worker" else 16
)
TASKS = {"noop": WORKER.task(bodies.noop), "nap": WORKER.task(bodies.nap)}


class Client:
    """Tasks of the worker, alone and in one pipeline."""

    async def one(self, task: str, number: int) -> None:
        await TASKS[task].enqueue(number)

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        await WORKER.enqueue_many([TASKS[task].enqueue(number) for number in numbers])


async def client() -> None:
    async with WORKER:
        await serve(Client())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        WORKER.run_sync()
    else:
        uvloop.run(client())
