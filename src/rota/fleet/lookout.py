"""What the exporter looks for now and then in Redis, beside the watch that reads the queues."""

import asyncio
from abc import ABC, abstractmethod

from redis.exceptions import NoPermissionError

from rota.server.outage import FAULTS


class Lookout(ABC):
    """A service that looks again and again. A user that may not look is one line of the log.

    :param every: from one look to the next, in seconds.
    """

    name: str
    may_end = False

    def __init__(self, *, every: float) -> None:
        self._every = every
        self._refused = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except NoPermissionError as error:
                if not self._refused:
                    self._refused = True
                    self.refused(str(error))
            except FAULTS:
                # Redis is away, and the watch says so.
                pass
            await asyncio.sleep(self._every)

    @abstractmethod
    async def look(self) -> None:
        """Look once. Raises what redis-py raises."""

    @abstractmethod
    def refused(self, reason: str) -> None:
        """Log why Redis refuses the look, which is told once."""
