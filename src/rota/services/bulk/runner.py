"""The service of a leader that carries out actions on many jobs, portion by portion.

Before the first job of a portion is changed, the portion is written down, with the place behind it. A leader that comes
after one that was killed does that portion again, by scripts that look at each job again, and goes on behind it. Each
change of an operation counts only on top of the last one, so of two leaders one goes on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from rota.server.faults import ServerError
from rota.server.outage import CEILING, FAULTS, Outage
from rota.services.leadership import Leadership
from rota.settings.settings import Settings
from rota.wire.leading.bulk import BulkKeys, Superseded

#: The longest wait between two looks for operations, where nobody rings, in seconds. Who puts one rings.
EVERY = 120.0
#: Between two portions, in seconds, so that they take little of Redis' time from others.
PACE = 0.01


class BulkRunner:
    """The service that carries out operations, for one term of its process as leader.

    :param open_redis: returns a client that nothing else uses, whose calls may block on the server for EVERY; closed
        when the service ends.
    :param settings: namespace, the bound of the events, and how long records of cancelled jobs are kept.
    :param leadership: the term.
    """

    name = "bulk"
    may_end = False

    def __init__(
        self, open_redis: Callable[[], Any], settings: Settings, leadership: Leadership, *, pace: float = PACE
    ) -> None:
        self._open_redis = open_redis
        self._settings = settings
        self._leadership = leadership
        self._keys = BulkKeys(settings.namespace)
        self._pace = pace
        self._outage = Outage("bulk")

    async def run(self) -> None:
        """Carry out what is asked for, one operation after the other, until cancelled or until the term is over."""
        async with self._open_redis() as redis:
            while True:
                try:
                    if not await self.turn(redis):
                        await self._keys.hear(redis, EVERY)
                    self._outage.over()
                except FAULTS as error:
                    await self._rest(error)
                except ServerError as error:
                    await self._rest(error.__cause__ or error)

    async def _rest(self, error: BaseException) -> None:
        """Wait for Redis, and log what it refuses; that it is away, the workers log."""
        if isinstance(error, ResponseError):
            await self._outage.pause(error)
        else:
            await asyncio.sleep(CEILING)

    async def turn(self, redis: Any) -> bool:
        """Carry out the operation that is next; return False where none is. Raises what redis-py raises."""
        self._leadership.check()
        operation_id = await self._keys.first_open(redis)
        if operation_id is None:
            return False
        # Few deployments have operations, and every leader waits for them: without this it is 0.6 MB smaller.
        from rota.services.bulk.carrying import Means, carry_out  # noqa: PLC0415

        try:
            await carry_out(
                Means(redis, self._settings, self._leadership, self._keys, self._pace), operation_id
            )
        except Superseded:
            # The other one is a leader too, or was: what it does is looked at again.
            await asyncio.sleep(self._pace)
        return True
