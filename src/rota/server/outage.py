"""Waits for a Redis that does not answer, with backoff and jitter, and logs an outage and its end once a process."""

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
#: A server that refuses calls is well again when it has refused none for this long, in seconds.
REST = 10.0
#: An outage that lasts for as long is more than a restart, in seconds.
LONG = 60.0


class Outages:
    """The outages of a whole process: each lasts from the first worker that meets it to the last that sees its end.

    Between two refusals, as of a full server, other calls may go well: that is one outage, until none came for REST.
    A server that cannot be reached and then refuses, or the other way round, is told of twice: there are two causes.
    """

    def __init__(self) -> None:
        self.ongoing: set[str] = set()
        self.ended = 0
        #: What was told of since Redis was well: True for a refusal, False for no answer. Empty while it is well.
        self.told: set[bool] = set()
        self._since = self._last = 0.0
        self._reason = ""
        self._refused = False

    def begin(self, name: str, error: BaseException) -> None:
        """Note that a call of the worker `name` failed, and log it if that is news."""
        self.ongoing.add(name)
        self._last, self._refused = time.monotonic(), isinstance(error, ResponseError)
        self._reason = type(error).__name__
        if self._refused in self.told:
            return
        self._since = self._since if self.told else self._last
        self.told.add(self._refused)
        logger.warning("redis.unavailable", extra={"error": f"{type(error).__name__}: {error}"})

    def end(self, name: str) -> None:
        """Note that the worker `name` reaches Redis again."""
        self.ongoing.discard(name)
        self.look()

    def complaint(self) -> str:
        """Return a sentence about an outage that lasts for long, and "" where there is none. Any thread may ask."""
        lasts = time.monotonic() - self._since
        if not self.told or lasts < LONG:
            return ""
        minutes = int(lasts // 60)
        return f"Redis has been of no use for {minutes} min ({self._reason}); the worker goes on trying"

    def look(self) -> None:
        """Log and count the end of an outage, once it is over for every worker."""
        now = time.monotonic()
        if self.told and not self.ongoing and not (self._refused and now - self._last < REST):
            self.told.clear()
            self.ended += 1
            until = self._last if self._refused else now
            logger.info("redis.back", extra={"seconds": round(until - self._since, 2)})


class Outage:
    """One worker's outage. All parts of the worker that talk to Redis share it."""

    def __init__(self, name: str, outages: Outages | None = None) -> None:
        self._name = name
        self._outages = outages or Outages()
        self._ongoing = False
        self._tries = 0
        self._refused = False
        self.count = 0

    @property
    def ongoing(self) -> bool:
        """True while the last call failed."""
        return self._ongoing

    async def pause(self, error: BaseException, redis: object = None) -> None:
        """Note a failed call, which is logged if it is the first, and sleep a little longer than the last time."""
        self._refused = isinstance(error, ResponseError)
        self.count += not self._ongoing
        self._ongoing = True
        self._outages.begin(self._name, error)
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
        if self._ongoing:
            self._ongoing, self._tries = False, 0
            self._outages.end(self._name)
        elif self._outages.told:
            self._outages.look()
