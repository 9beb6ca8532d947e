"""Looks now and then where the schedules are: what the exporter shows of them."""

import logging
from typing import Any

from rota.fleet.lookout import Lookout
from rota.model.schedules.state import State
from rota.wire.schedules import Schedules

logger = logging.getLogger("rota.exporter")

#: From one look to the next, in seconds.
EVERY = 5.0
#: The most that are shown: each is a row of series in Prometheus.
MOST = 500


class Timetable(Lookout):
    """The service that keeps the state of every schedule; a look costs a command for each."""

    name = "timetable"

    def __init__(self, redis: Any, schedules: Schedules, *, every: float = EVERY) -> None:
        super().__init__(every=every)
        self.states: tuple[State, ...] = ()
        self._redis = redis
        self._schedules = schedules

    async def look(self) -> None:
        """Read all schedules once. Raises what redis-py raises."""
        found = await self._schedules.read(self._redis)
        self.states = tuple(State.read(name, found[name]) for name in sorted(found)[:MOST])

    def refused(self, reason: str) -> None:
        logger.warning("schedules.unseen", extra={"reason": reason})
