"""A Redis that does not answer: wait, with back-off and jitter, say so once, and say when it is back."""

import asyncio
import logging
import random
import time

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

logger = logging.getLogger("rota.redis")

#: What a call to Redis may raise that is Redis' fault, and not ours.
FAULTS: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)

#: The longest pause between two tries, seconds.
CEILING = 1.0


class Outages:
    """The view of a whole process: one outage, from the first worker that sees it to the last that sees its end."""

    def __init__(self) -> None:
        self.ongoing: set[str] = set()
        self.ended = 0

    def begin(self, name: str) -> None:
        """The worker `name` reaches Redis no longer."""
        self.ongoing.add(name)

    def end(self, name: str) -> None:
        """It does again."""
        self.ongoing.discard(name)
        self.ended += not self.ongoing


class Outage:
    """One worker's view of its server. Shared by everything in it that talks to Redis, so that one line is logged."""

    def __init__(self, name: str, outages: Outages | None = None) -> None:
        self._name = name
        self._outages = outages or Outages()
        self._since: float | None = None
        self._tries = 0
        self._last = ""
        self._refused = False
        self.count = 0

    @property
    def ongoing(self) -> bool:
        """Whether the last call failed."""
        return self._since is not None

    async def pause(self, error: BaseException, redis: object = None) -> None:
        """After a failed call: log what is new about it, and sleep a little longer than the last time."""
        self._refused = isinstance(error, ResponseError)
        text = f"{type(error).__name__}: {error}"
        if self._since is None:
            self._since = time.monotonic()
            self.count += 1
            self._outages.begin(self._name)
        if text != self._last:
            logger.warning("redis.unavailable", extra={"queue": self._name, "error": text})
            self._last = text
        if isinstance(error, ReadOnlyError) and redis is not None:
            # A failover left us on the replica: the next connection asks anew who the primary is.
            await redis.connection_pool.disconnect(inuse_connections=False)  # type: ignore[attr-defined]
        self._tries += 1
        ceiling = min(CEILING, 0.05 * 2 ** min(self._tries, 10))
        await asyncio.sleep(ceiling * (0.5 + random.random() / 2))  # noqa: S311 - jitter, not a secret

    def reached(self) -> None:
        """After a call that went well, though others may be refused still: a full Redis takes no job, but answers."""
        if not self._refused:
            self.over()

    def over(self) -> None:
        """After a call that went well."""
        if self._since is not None:
            seconds = round(time.monotonic() - self._since, 2)
            self._since, self._tries, self._last = None, 0, ""
            self._outages.end(self._name)
            logger.info("redis.back", extra={"queue": self._name, "seconds": seconds})
