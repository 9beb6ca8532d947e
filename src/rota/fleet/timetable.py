"""Looks now and then where the schedules are: what the exporter shows of them."""

import asyncio
import logging
from typing import Any

from redis.exceptions import NoPermissionError

from rota.model.schedules.state import State
from rota.server.outage import FAULTS
from rota.wire.schedules import Schedules

logger = logging.getLogger("rota.exporter")

#: From one look to the next, in seconds.
EVERY = 5.0
#: The most that are shown: each is a row of series in Prometheus.
MOST = 500


class Timetable:
    """The service that keeps the state of every schedule; a look costs a command for each."""

    name = "timetable"
    may_end = False

    def __init__(self, redis: Any, schedules: Schedules, *, every: float = EVERY) -> None:
        self.states: tuple[State, ...] = ()
        self._redis = redis
        self._schedules = schedules
        self._every = every
        self._refused = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except NoPermissionError as error:
                self._say_refused(error)
            except FAULTS:
                # Redis is away, and the watch says so.
                pass
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Read all schedules once. Raises what redis-py raises."""
        found = await self._schedules.read(self._redis)
        self.states = tuple(State.read(name, found[name]) for name in sorted(found)[:MOST])

    def _say_refused(self, error: NoPermissionError) -> None:
        if not self._refused:
            self._refused = True
            logger.warning("schedules.unseen", extra={"reason": str(error)})
