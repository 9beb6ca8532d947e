"""The housekeeper: strikes what has outlived its job, its flow or its process, now and then.

Most of it expires, or goes with its job. What is left are entries in lists of what has expired, which it looks for
often, and what was kept of jobs whose keys were deleted by hand or lost, for which it looks at every key.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.exceptions import ResponseError

from rota.server.outage import FAULTS
from rota.services.leadership import Leadership
from rota.services.leftovers import PACE, Leftovers
from rota.wire.keys import ABORT

logger = logging.getLogger("rota.leader")

#: From one round to the next, in seconds; and of how many rounds one looks at every key, not only at those of queues.
#: The first does not: a leader begins its term where processes are started, and Redis has other work then.
EVERY, DEEP = 300.0, 12
_FIRST_DEEP = 1
#: After this time a request to cancel is of a job that is over, in milliseconds.
_DAY = 86_400_000


class Housekeeper:
    """The service of a leader that keeps Redis tidy.

    :param term: the leader's term.
    :param connect: opens a client that nothing else uses.
    :param queues: the keys of the queues of this code, for a Redis that refuses to tell which others there are.
    """

    name = "housekeeper"
    may_end = False

    def __init__(
        self,
        term: Leadership,
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        queues: Sequence[str],
        namespace: str,
        events_maxlen: int,
    ) -> None:
        self._connect = connect
        self._queues = queues
        self._may_scan = True
        self._round = 0
        self._leftovers = Leftovers(
            namespace,
            queues,
            events_maxlen=events_maxlen,
            strike=True,
            pace=PACE,
            moved=lambda _: term.check(),
        )

    async def run(self) -> None:
        """Sweep at once, and again and again, until cancelled."""
        async with self._connect() as redis:
            while True:
                # The workers log that Redis is away. What is left waits for the next round.
                with contextlib.suppress(*FAULTS):
                    await self.sweep(redis)
                await asyncio.sleep(EVERY)

    async def sweep(self, redis: Any) -> None:
        """Sweep once. Raises what redis-py raises, and LeadershipLost."""
        is_deep = self._round % DEEP == _FIRST_DEEP
        struck = await (self._everything(redis) if is_deep else self._all_queues(redis))
        self._round += 1
        if struck.total():
            logger.info("housekeeper.swept", extra=dict(+struck))

    async def _everything(self, redis: Any) -> Counter[str]:
        if not self._may_scan:
            return await self._all_queues(redis)
        with contextlib.suppress(ResponseError):
            seconds, _ = await redis.time()
            await redis.zremrangebyscore(ABORT, "-inf", seconds * 1000 - _DAY)
        return await self._looking(redis, self._leftovers.of_all)

    async def _all_queues(self, redis: Any) -> Counter[str]:
        return await self._looking(redis, self._leftovers.of_queues)

    async def _looking(self, redis: Any, sweep: Callable[[Any], Any]) -> Counter[str]:
        struck: Counter[str] = Counter()
        if self._may_scan:
            try:
                struck = await sweep(redis)
            except ResponseError:
                self._may_scan = False
            else:
                return struck
        for queue in self._queues:
            struck += await self._leftovers.of_collections(redis, queue)
        return struck
