"""Looks now and then for what nothing serves: queues that nobody names, and jobs that no worker knows."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from rota.fleet.lookout import Lookout
from rota.wire.inventory import queues_in, unknown_jobs

logger = logging.getLogger("rota.exporter")

#: From one search to the next, in seconds. A search looks at every key of the database.
EVERY = 60.0
#: The most that are shown: each is a row of series in Prometheus, and anybody who enqueues can make one.
MOST = 50
#: From one look for unknown jobs to the next, in seconds.
UNKNOWN_EVERY = 15.0


class Strays(Lookout):
    """The service that keeps the names of the strays up to date."""

    name = "strays"

    def __init__(self, redis: Any, named: Collection[str], *, every: float = EVERY) -> None:
        super().__init__(every=every)
        self.queues: tuple[str, ...] = ()
        self._redis = redis
        self._named = frozenset(named)

    async def look(self) -> None:
        """Search once, and log what was not there before. Raises what redis-py raises."""
        found = tuple(sorted(await queues_in(self._redis) - self._named))
        for queue in found[:MOST]:
            if queue not in self.queues:
                logger.warning(
                    "queue.stray", extra={"queue": queue, "reason": "no job and no setting names it"}
                )
        self.queues = found[:MOST]

    def refused(self, reason: str) -> None:
        logger.warning("queue.strays_unseen", extra={"reason": reason})


class UnknownJobs(Lookout):
    """The service that counts the jobs of each queue that wait for a worker that knows them."""

    name = "unknown_jobs"

    def __init__(self, redis: Any, queues: Sequence[str], *, every: float = UNKNOWN_EVERY) -> None:
        super().__init__(every=every)
        self.counts: dict[str, int] = {}
        self._redis = redis
        self._queues = queues

    async def look(self) -> None:
        """Count once. Raises what redis-py raises."""
        found = await unknown_jobs(self._redis, self._queues)
        self.counts = {queue: one.jobs for queue, one in found.items()}

    def refused(self, reason: str) -> None:
        logger.warning("queue.unknown_unseen", extra={"reason": reason})
