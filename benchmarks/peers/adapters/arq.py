"""arq as it comes, with its defaults or tuned (BENCH_KIND)."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker

from benchmarks.functions import FUNCTIONS
from benchmarks.peers.adapters.common import gathered, serve

SETTINGS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


class Client:
    """arq's own; it has no call for many."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def one(self, task: str, number: int) -> None:
        await self._redis.enqueue_job(task, number)

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        await gathered(self.one, task, numbers)


async def client() -> None:
    await serve(Client(await create_pool(SETTINGS)))


def worker(concurrency: int) -> None:
    """Run a worker until the process is ended; the defaults are 10 jobs at once, and a look each 0.5 s."""
    tuned: dict[str, Any] = {"poll_delay": 0.01, "max_jobs": concurrency}
    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker(FUNCTIONS, redis_settings=SETTINGS, **tuned if os.environ["BENCH_KIND"] == "tuned" else {}).run()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(int(sys.argv[2]))
    else:
        uvloop.run(client())
