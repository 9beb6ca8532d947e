"""What the services of the outbox have in common: Redis and the database, open while the term lasts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from rota.services.figures import OutboxFigures
from rota.services.leadership import Leadership
from rota.store.engine import Database
from rota.wire.leading.outbox import OutboxKeys


class OutboxService(ABC):
    """A service of a leader, which makes one `turn` after the other.

    :param open_redis: returns a client that nothing else uses; closed when the service ends.
    :param open_database: returns the database of the outbox; closed when the service ends.
    :param keys: the outbox in Redis.
    :param leadership: the term; its epoch is the fence in Redis.
    :param figures: what this process knows of the outbox.
    """

    may_end = False

    def __init__(
        self,
        open_redis: Callable[[], Any],
        open_database: Callable[[], Database],
        keys: OutboxKeys,
        leadership: Leadership,
        figures: OutboxFigures,
    ) -> None:
        self._open_redis = open_redis
        self._open_database = open_database
        self._keys = keys
        self._leadership = leadership
        self._figures = figures

    async def run(self) -> None:
        """Make turns until cancelled, or until the term is over."""
        database = self._open_database()
        try:
            async with self._open_redis() as redis:
                while True:
                    await self.turn(redis, database)
        finally:
            await database.close()

    @abstractmethod
    async def turn(self, redis: Any, database: Database) -> None:
        """Do what is to be done now, and wait until the next turn is due."""
