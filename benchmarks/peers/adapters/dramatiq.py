"""dramatiq, in one process with as many threads as jobs at once. It keeps no results, as it comes."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from dramatiq import actor, set_broker
from dramatiq.brokers.redis import RedisBroker
from redis import ConnectionPool

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve_blocking

MODULE = "benchmarks.peers.adapters.dramatiq"
#: More connections than there are threads.
POOL = 300

broker: Any = RedisBroker(
    connection_pool=ConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=POOL)
)
set_broker(broker)


# They return nothing: of each value that it does not keep, dramatiq writes a warning.


def noop(number: int) -> None:
    bodies.blocking_noop(number)


def nap(number: int) -> None:
    bodies.blocking_nap(number)


ACTORS = {"noop": actor(noop), "nap": actor(nap)}


class Client:
    """dramatiq's actors; a group of messages is sent one by one."""

    def one(self, task: str, number: int) -> None:
        ACTORS[task].send(number)

    def many(self, task: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            ACTORS[task].send(number)


def worker(threads: str) -> None:
    """Become the command's process, and that which it starts."""
    options = ["--processes", "1", "--threads", threads]
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", MODULE, *options])


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(sys.argv[2])
    else:
        serve_blocking(Client())
