"""RQ, by the worker that forks no process for a job; it runs one at a time."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve_blocking

CONNECTION = Redis.from_url(os.environ["REDIS_URL"])
QUEUE: Any = Queue(connection=CONNECTION)
FUNCTIONS = {"noop": bodies.blocking_noop, "nap": bodies.blocking_nap}


class Client:
    """RQ's queue, alone and in one pipeline."""

    def one(self, task: str, number: int) -> None:
        QUEUE.enqueue(FUNCTIONS[task], number)

    def many(self, task: str, numbers: Sequence[int]) -> None:
        QUEUE.enqueue_many([Queue.prepare_data(FUNCTIONS[task], (number,)) for number in numbers])


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        SimpleWorker([QUEUE], connection=CONNECTION).work(logging_level="WARNING")
    else:
        serve_blocking(Client())
