"""arq's health key: a line about one of the workers of a queue, in a key that all of them share."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from arq.connections import ArqRedis

from rota.process.clock import SYSTEM_CLOCK, Clock


class HealthKey:
    """The health key of a queue, as one worker writes it.

    :param key: its name.
    :param worker_id: tells which worker wrote the line.
    :param interval: seconds from one line to the next; the key lives for one second longer.
    """

    def __init__(self, key: str, worker_id: str, interval: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._key = key
        self._signature = f"worker={worker_id}"
        self._interval = interval
        self._now = clock.time
        self._written_at = 0.0

    async def write(self, redis: ArqRedis, counts: Callable[[], Awaitable[str]]) -> None:
        """Write a line that ends in `counts`, if the interval is over."""
        now = self._now()
        if now - self._written_at < self._interval:
            return
        self._written_at = now
        line = f"{datetime.fromtimestamp(now):%b-%d %H:%M:%S} {self._signature} {await counts()}"  # noqa: DTZ006 - local time, as arq writes it
        await redis.set(self._key, line, px=round((self._interval + 1) * 1000))

    async def restore(self, redis: ArqRedis) -> None:
        """Write at the next opportunity if the key is gone: the worker that wrote it last has removed it at its end."""
        if not await redis.exists(self._key):
            self._written_at = 0.0

    async def remove(self, redis: ArqRedis) -> None:
        """Remove the key if this worker wrote it last."""
        written = await redis.get(self._key)
        if written and self._signature.encode() in written:
            await redis.delete(self._key)
