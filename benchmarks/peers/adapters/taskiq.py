"""taskiq, by the broker of BENCH_KIND: a list, or a stream. Its worker is the command of taskiq, on uvloop."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import gathered, serve

#: More connections than there are jobs or callers at once.
POOL = 300
URL = os.environ["REDIS_URL"]
KIND: Any = ListQueueBroker if os.environ["BENCH_KIND"] == "list" else RedisStreamBroker

# redis-py 8 gives up an answer after 5 s unless told otherwise, which ends the worker of an idle list.
broker = KIND(URL, max_connection_pool_size=POOL, socket_timeout=None).with_result_backend(
    RedisAsyncResultBackend(URL, max_connection_pool_size=POOL)
)
TASKS = {
    "noop": broker.task(task_name="noop")(bodies.noop),
    "nap": broker.task(task_name="nap")(bodies.nap),
}


class Client:
    """taskiq's tasks; it has no call for many."""

    async def one(self, task: str, number: int) -> None:
        await TASKS[task].kiq(number)

    async def many(self, task: str, numbers: Sequence[int]) -> None:
        await gathered(self.one, task, numbers)


async def client() -> None:
    await broker.startup()
    await serve(Client())


def worker(concurrency: str) -> None:
    """Become the command's process, and that which it starts."""
    options = ["--workers", "1", "--log-level", "WARNING", "--max-async-tasks", concurrency]
    os.execv(sys.executable, [sys.executable, "-m", "taskiq", "worker", f"{MODULE}:broker", *options])


MODULE = "benchmarks.peers.adapters.taskiq"

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(sys.argv[2])
    else:
        uvloop.run(client())
