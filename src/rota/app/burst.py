"""A worker process in a burst: it ends when nothing is left on its queues."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rota.server.outage import FAULTS
from rota.wire.claims import decode_id
from rota.wire.keys import queue_key, tick_of

#: From one look at the queues to the next, in seconds.
EVERY = 0.5
#: With this many jobs left it is not asked whether all of them are ticks of schedules.
MANY = 1000


class Burst:
    """The service that looks whether jobs are left, over all queues: a job of one may put jobs on another.

    The next ticks of schedules are no reason to stay: each would be followed by another.

    :param empty: called when no queue has any other job, waiting, delayed or running.
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
                pipe.time()
                for key in self._keys:
                    pipe.zrange(key, 0, MANY - 1)
                (seconds, _), *queues = await pipe.execute()
                return all(_only_waits(queue, seconds * 1000) for queue in queues)
        except FAULTS:
            # Redis is away, which the workers say; what it holds is not known.
            return False


def _only_waits(ids: Sequence[bytes], now: int) -> bool:
    """Tell whether nothing is on a queue but ticks of schedules that are still to come."""
    ticks = [tick_of(decode_id(raw)) for raw in ids]
    return len(ids) < MANY and all(tick is not None and tick[1] > now for tick in ticks)
