"""huey, in one process with as many threads as jobs at once."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from huey import RedisHuey
from redis import ConnectionPool

from benchmarks.peers.adapters import bodies
from benchmarks.peers.adapters.common import serve_blocking

#: More connections than there are threads.
POOL = 300

HUEY: Any = RedisHuey(
    "bench", connection_pool=ConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=POOL)
)
TASKS = {
    "noop": HUEY.task(name="noop")(bodies.blocking_noop),
    "nap": HUEY.task(name="nap")(bodies.blocking_nap),
}


class Client:
    """huey's tasks; it has no call for many."""

    def one(self, task: str, number: int) -> None:
        TASKS[task](number)

    def many(self, task: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            TASKS[task](number)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        HUEY.create_consumer(workers=int(sys.argv[2]), worker_type="thread").run()
    else:
        serve_blocking(Client())
