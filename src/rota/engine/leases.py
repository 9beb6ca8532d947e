"""The leases of what a process has claimed: held until their settlements are acknowledged, and renewed meanwhile.

The event loop adds and drops claims; the keeper's thread renews them.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from redis.exceptions import RedisError

from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.wire.claims import Claim, Settlement
from rota.wire.queue import QueueScripts

logger = logging.getLogger("rota.leases")

#: The most leases that are renewed in one call.
CHUNK = 500
#: Leases that could not be renewed are tried again after this many seconds, if they are not due before.
AGAIN = 0.5

_held_by: Callable[[Claim | Settlement], tuple[str, str]] = attrgetter("id", "token")


class Holding:
    """The claims of one queue whose leases are renewed.

    :param scripts: the scripts of the queue.
    :param on_lost: called in the running loop with the ids of claims that were taken away.
    """

    def __init__(self, scripts: QueueScripts, on_lost: Callable[[list[str]], None]) -> None:
        self.scripts = scripts
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}

    def add(self, claims: Iterable[Claim]) -> None:
        """Renew the leases of `claims` from now on."""
        with self._lock:
            self._held.update(map(_held_by, claims))

    def drop(self, settled: Iterable[Claim | Settlement]) -> None:
        """Renew no longer the claims that were settled."""
        with self._lock:
            for job_id, _ in self._held.items() & map(_held_by, settled):
                del self._held[job_id]

    def snapshot(self) -> dict[str, str]:
        """Return the tokens of the claims that are held now, by job id."""
        with self._lock:
            return dict(self._held)

    def renew(self, redis: Any) -> int:
        """Renew all leases on a plain client, and tell the loop which were lost; return how many there were."""
        held = list(self.snapshot().items())
        for start in range(0, len(held), CHUNK):
            chunk = dict(held[start : start + CHUNK])
            lost = [job_id for job_id in self.scripts.renew(redis, chunk) if self._still(job_id, chunk)]
            if lost:
                self._loop.call_soon_threadsafe(self._on_lost, lost)
        return len(held)

    def _still(self, job_id: str, asked: Mapping[str, str]) -> bool:
        # The job may have been settled, or claimed again, while the call was under way: then the reply is out of date.
        with self._lock:
            return self._held.get(job_id) == asked[job_id]


class Leases:
    """The holdings of all queues of a process, renewed over one connection.

    :param connect: makes the plain Redis client on which leases are renewed.
    :param interval: seconds from one renewal to the next, a third of the shortest lease.
    """

    def __init__(self, connect: Callable[[], Any], *, interval: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self.interval = interval
        self._connect = connect
        self._now = clock.monotonic
        self._due = self._now()
        # Replaced, not changed: the keeper's thread may be going through it.
        self._holdings: tuple[Holding, ...] = ()
        self._redis: Any = None
        self._failing = False

    def hold(self, scripts: QueueScripts, on_lost: Callable[[list[str]], None]) -> Holding:
        """Return the holding of one more queue."""
        holding = Holding(scripts, on_lost)
        self._holdings = (*self._holdings, holding)
        return holding

    def release(self, holding: Holding) -> None:
        """Renew the leases of `holding` no longer."""
        self._holdings = tuple(other for other in self._holdings if other is not holding)

    def keep(self) -> None:
        """Renew all leases if that is due; a fault is logged the first time, and the renewal is tried again soon."""
        now = self._now()
        if now >= self._due:
            self._due = now + (self.interval if self._renew() else min(self.interval, AGAIN))

    def close(self) -> None:
        """Close the connection; the next renewal makes another one."""
        redis, self._redis = self._redis, None
        if redis is not None:
            redis.close()

    def _renew(self) -> bool:
        try:
            if self._redis is None:
                self._redis = self._connect()
            for holding in self._holdings:
                holding.renew(self._redis)
        except (RedisError, OSError) as error:
            if not self._failing:
                logger.warning("leases.not_renewed", extra={"error": f"{type(error).__name__}: {error}"})
            self._failing = True
            self.close()
            return False
        self._failing = False
        return True
