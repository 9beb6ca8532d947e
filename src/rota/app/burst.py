"""A worker process in a burst: it ends when nothing is left on its queues."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rota.server.outage import FAULTS
from rota.wire.keys import queue_key

#: From one look at the queues to the next, in seconds.
EVERY = 0.5


class Burst:
    """The service that looks whether jobs are left, over all queues: a job of one may put jobs on another.

    :param empty: called when no queue has a job, waiting, delayed or running.
    """

    name = "burst"
    may_end = False

    def __init__(self, redis: Any, queues: Sequence[str], empty: Callable[[], object]) -> None:
        self._redis = redis
        self._keys = [queue_key(queue) for queue in queues]
        self._empty = empty

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            # First of all the workers are to begin, which they do beside this.
            await asyncio.sleep(EVERY)
            if await self._is_empty():
                self._empty()

    async def _is_empty(self) -> bool:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                for key in self._keys:
                    pipe.exists(key)
                return not any(await pipe.execute())
        except FAULTS:
            # Redis is away, which the workers say; what it holds is not known.
            return False
