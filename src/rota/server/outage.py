"""Waits for a Redis that does not answer, with backoff and jitter, and logs the outage and its end once each."""

import asyncio
import logging
import random
import time

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

logger = logging.getLogger("rota.redis")

#: What a call to Redis raises when the fault is the server's or the network's, and not ours.
FAULTS: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)

#: The longest pause between two tries, in seconds.
CEILING = 1.0


class Outages:
    """The outages of a whole process: each lasts from the first worker that meets it to the last that sees its end."""

    def __init__(self) -> None:
        self.ongoing: set[str] = set()
        self.ended = 0

    def begin(self, name: str) -> None:
        """Note that the worker `name` cannot reach Redis."""
        self.ongoing.add(name)

    def end(self, name: str) -> None:
        """Note that the worker `name` reaches Redis again, and count the outage when it was the last."""
        self.ongoing.discard(name)
        self.ended += not self.ongoing


class Outage:
    """One worker's outage. All parts of the worker that talk to Redis share it, so that one line is logged."""

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
        """True while the last call failed."""
        return self._since is not None

    async def pause(self, error: BaseException, redis: object = None) -> None:
        """Log a failed call, if its error is a new one, and sleep a little longer than the last time."""
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
            # A failover left us on the replica: a new connection asks the sentinels for the primary.
            await redis.connection_pool.disconnect(inuse_connections=False)  # type: ignore[attr-defined]
        self._tries += 1
        ceiling = min(CEILING, 0.05 * 2 ** min(self._tries, 10))
        await asyncio.sleep(ceiling * (0.5 + random.random() / 2))  # noqa: S311 - jitter, not a secret

    def reached(self) -> None:
        """Note a call that went well, though Redis may still refuse others: a full Redis takes no job, but answers."""
        if not self._refused:
            self.over()

    def over(self) -> None:
        """End the outage, after a call that went well."""
        if self._since is not None:
            seconds = round(time.monotonic() - self._since, 2)
            self._since, self._tries, self._last = None, 0, ""
            self._outages.end(self._name)
            logger.info("redis.back", extra={"queue": self._name, "seconds": seconds})
