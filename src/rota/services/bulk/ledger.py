"""The service of a leader that writes the actions of people into the database, where one is.

As the recorder does, it keeps its position in the stream in the database, and moves it in the transaction that writes
what it has read: nothing is written twice, or missed while Redis keeps it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from rota.model.bulk.actions import Action
from rota.server.outage import FAULTS
from rota.services.leadership import Leadership
from rota.services.records import START, order_of
from rota.store.actions import insert
from rota.store.audit import advance, cursor
from rota.store.engine import Database
from rota.store.faults import Fenced, StoreError
from rota.wire.keys import actions_key

logger = logging.getLogger("rota.recorder")

#: From one look to the next where nothing is new, in seconds.
EVERY = 5.0
#: The most actions of one transaction.
PORTION = 500


class Ledger:
    """The service that writes the table of actions, for one term of its process as leader.

    :param open_redis: returns a client that nothing else uses; closed when the service ends.
    :param open_database: returns the database of the table; closed when the service ends.
    :param namespace: the prefix of the deployment's own keys.
    :param leadership: the term; its epoch is the fence in the database.
    """

    name = "ledger"
    may_end = False

    def __init__(
        self,
        open_redis: Callable[[], Any],
        open_database: Callable[[], Database],
        namespace: str,
        leadership: Leadership,
    ) -> None:
        self._open_redis = open_redis
        self._open_database = open_database
        self._key = actions_key(namespace)
        self._leadership = leadership

    async def run(self) -> None:
        """Write what is new, again and again, until cancelled or until the term is over."""
        database = self._open_database()
        try:
            async with self._open_redis() as redis:
                while True:
                    self._leadership.check()
                    written = 0
                    # The recorder says that the database is away, and makes its tables; the workers, that Redis is.
                    with contextlib.suppress(StoreError, *FAULTS):
                        written = await self.write(redis, database)
                    if written < PORTION:
                        await asyncio.sleep(EVERY)
        finally:
            await database.close()

    async def write(self, redis: Any, database: Database) -> int:
        """Write the actions behind the position, and return how many there were.

        Raises StoreError, and what redis-py raises.
        """
        async with database.read() as connection:
            position = await cursor(connection, self._key)
        found = await self._behind(redis, position)
        if not found:
            return 0
        self._leadership.check()
        try:
            async with database.write() as connection:
                last = found[-1].position
                await advance(connection, self._key, position, last, self._leadership.epoch)
                await insert(connection, self._key, found)
        except Fenced:
            # Another leader has written them.
            return 0
        return len(found)

    async def _behind(self, redis: Any, position: str) -> list[Action]:
        """Return the next actions; where those before them are gone, say so."""
        entries = await redis.xrange(self._key, min=position, count=PORTION + 1)
        if position == START:
            return _read(entries[:PORTION])
        if entries and entries[0][0].decode() == position:
            return _read(entries[1:])
        newest = await redis.xrevrange(self._key, count=1)
        if not entries and newest and order_of(newest[0][0].decode()) < order_of(position):
            # Redis was emptied, or is another one, and its clock is behind: the ids begin again.
            entries = await redis.xrange(self._key, count=PORTION)
        if entries:
            logger.warning("actions.lost", extra={"after": position, "to": entries[0][0].decode()})
        return _read(entries[:PORTION])


def _read(entries: Any) -> list[Action]:
    return [Action.read(position.decode(), fields) for position, fields in entries]
