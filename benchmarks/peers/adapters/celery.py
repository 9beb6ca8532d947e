"""Celery, with results in Redis, on the pool of BENCH_KIND: two processes, or as many threads as jobs at once."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve_blocking

#: A process for each core of a small machine.
PROCESSES = "2"

app: Any = Celery("bench", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
TASKS = {
    "noop": app.task(bodies.blocking_noop, name="noop"),
    "nap": app.task(bodies.blocking_nap, name="nap"),
}


class Client:
    """Celery's tasks; a group of tasks is sent one by one."""

    def one(self, task: str, number: int) -> None:
        TASKS[task].delay(number)

    def many(self, task: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            TASKS[task].delay(number)


def worker(concurrency: str) -> None:
    """Run a worker under a name of its own, since there may be two."""
    kind = os.environ["BENCH_KIND"]
    pool = ["--pool", kind, "--concurrency", PROCESSES if kind == "prefork" else concurrency]
    app.worker_main(["worker", *pool, "--loglevel", "WARNING", "--hostname", f"bench{os.getpid()}@%h"])


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(sys.argv[2])
    else:
        serve_blocking(Client())
