"""arq's health key: a line about one of the workers of a queue, in a key that all of them share."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from arq.connections import ArqRedis

from rota.process.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger("arq.worker")


class HealthKey:
    """The health key of a queue, as one worker writes it.

    :param key: its name.
    :param worker_id: tells which worker wrote the line.
    :param interval: seconds from one line to the next; the key lives for one second longer.
    :param log: whether a line that differs from the last one is logged, too, as arq does.
    """

    def __init__(
        self,
        key: str,
        worker_id: str,
        interval: float,
        *,
        log: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._key = key
        self._signature = f"worker={worker_id}"
        self._interval = interval
        self._log = log
        self._now = clock.time
        self._written_at = 0.0
        self._last: str | None = None

    async def write(self, redis: ArqRedis, counts: Callable[[], Awaitable[str]]) -> None:
        """Write a line that ends in `counts`, if the interval is over."""
        now = self._now()
        if now - self._written_at < self._interval:
            return
        self._written_at = now
        moment = f"{datetime.fromtimestamp(now):%b-%d %H:%M:%S}"  # noqa: DTZ006 - local time, as arq writes it
        told = await counts()
        await redis.set(
            self._key, f"{moment} {self._signature} {told}", px=round((self._interval + 1) * 1000)
        )
        if self._log and self._last not in (None, told):
            logger.info("recording health: %s %s", moment, told)
        self._last = told

    async def restore(self, redis: ArqRedis) -> None:
        """Write at the next opportunity if the key is gone: the worker that wrote it last has removed it at its end."""
        if not await redis.exists(self._key):
            self._written_at = 0.0

    async def remove(self, redis: ArqRedis) -> None:
        """Remove the key if this worker wrote it last."""
        written = await redis.get(self._key)
        if written and self._signature.encode() in written:
            await redis.delete(self._key)
