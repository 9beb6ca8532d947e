"""The housekeeper: strikes what has outlived its job or its process, now and then, of every queue.

Most of it expires, or goes with its job. What is left are entries in lists of what has expired, and what was kept of
jobs whose keys were deleted by hand or lost. One script looks at each portion and strikes what nothing needs, so that
nothing is taken of a job that lives, however many processes sweep.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.exceptions import ResponseError

from rota.server.outage import FAULTS
from rota.services.leadership import Leadership
from rota.wire.leading.sweeping import Collection, collections_in, collections_of

logger = logging.getLogger("rota.leader")

#: From one round to the next, and between two calls within one, in seconds.
EVERY, PACE = 300.0, 0.005


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
    ) -> None:
        self._term = term
        self._connect = connect
        self._queues = queues
        self._may_scan = True

    async def run(self) -> None:
        """Sweep at once, and again and again, until cancelled."""
        async with self._connect() as redis:
            while True:
                # The workers log that Redis is away. What is left waits for the next round.
                with contextlib.suppress(*FAULTS):
                    await self.sweep(redis)
                await asyncio.sleep(EVERY)

    async def sweep(self, redis: Any) -> None:
        """Sweep all queues once. Raises what redis-py raises, and LeadershipLost."""
        struck: Counter[str] = Counter()
        async for some in self._found(redis):
            for collection in some:
                try:
                    struck[collection.kind] += await self._sweep(redis, collection)
                except ResponseError:
                    continue  # another hand made it, or the user may not touch it
        if struck.total():
            logger.info("housekeeper.swept", extra=dict(+struck))

    async def _sweep(self, redis: Any, collection: Collection) -> int:
        start, struck = "0", 0
        while True:
            self._term.check()
            start, gone = await collection.sweep(redis, start)
            struck += gone
            await asyncio.sleep(PACE)
            if start == "0":
                return struck

    async def _found(self, redis: Any) -> AsyncIterator[list[Collection]]:
        if self._may_scan:
            try:
                async for some in collections_in(redis):
                    yield some
                    await asyncio.sleep(PACE)
                return
            except ResponseError:
                self._may_scan = False
        for queue in self._queues:
            yield collections_of(queue)
