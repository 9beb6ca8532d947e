"""The recorder: writes what becomes of jobs from the stream of records into the audit table.

The leader runs it. The position up to which the stream is in the table is a row of the same database, and moves in the
same transaction as the rows. So a recorder that is killed anywhere, or two of them at once, miss nothing and write
nothing twice. Entries leave Redis only once they are in the table; while the database is away they wait, within the
bound that `rota.services.bound` keeps.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, cast

from rota.server.outage import FAULTS, Outage
from rota.services.figures import Figures
from rota.services.leadership import Leadership
from rota.services.records import Page, PagesAhead, RecordStream
from rota.services.vanished import Sweep
from rota.store.audit import advance, cursor, upsert
from rota.store.engine import Database
from rota.store.faults import Fenced, StoreError
from rota.store.migrations import Mode, prepare
from rota.wire.keys import records_key

logger = logging.getLogger("rota.recorder")

#: The first pause where nothing is new, and the longest, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
#: The longest pause between two tries while the database is away, in seconds.
CEILING = 5.0


class Recorder:
    """The service that writes the audit table, for one term of its process as leader.

    :param open_redis: returns a client that nothing else uses; closed when the service ends.
    :param open_database: returns the database of the table; closed when the service ends.
    :param namespace: the prefix of the deployment's own keys.
    :param leadership: the term; its epoch is the fence in the database.
    :param figures: counts what this process records.
    :param migrate: what is to be done about the tables first, as DATABASE_MIGRATE says it.
    :param sweep: looks for rows of jobs that have vanished.
    """

    name = "recorder"
    may_end = False

    def __init__(
        self,
        open_redis: Callable[[], Any],
        open_database: Callable[[], Database],
        namespace: str,
        leadership: Leadership,
        figures: Figures,
        *,
        migrate: Mode = "off",
        sweep: Sweep | None = None,
    ) -> None:
        self._open_redis = open_redis
        self._open_database = open_database
        self._key = records_key(namespace)
        self._leadership = leadership
        self._figures = figures
        self._migrate: Mode = migrate
        self._sweep = sweep or Sweep()
        self._redis_outage = Outage("recorder")
        self._database_outage = DatabaseOutage()

    async def run(self) -> None:
        """Record until cancelled, or until the term is over."""
        database = self._open_database()
        try:
            async with self._open_redis() as redis:
                await self._record(redis, database)
        finally:
            await database.close()

    async def _record(self, redis: Any, database: Database) -> None:
        stream = RecordStream(redis, self._key)
        pages = PagesAhead(stream)
        try:
            await self._follow(redis, database, stream, pages)
        finally:
            await pages.forget()

    async def _follow(self, redis: Any, database: Database, stream: RecordStream, pages: PagesAhead) -> None:
        position, is_trimmed, pause = cast(str | None, None), False, FIRST_PAUSE
        while True:
            self._leadership.check()
            try:
                if position is None:
                    position, is_trimmed = await self._position(database), False
                page = await pages.page(position)
                self._redis_outage.over()
                if page.last != position:
                    position, pause = await self._write(database, position, page), FIRST_PAUSE
                    is_trimmed = position is not None and await stream.trim(position)
                elif page.is_anchored and not is_trimmed:
                    is_trimmed = await stream.trim(position)
                elif self._sweep.is_due:
                    await self._look_for_vanished(redis, database, stream, position)
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_PAUSE)
            except StoreError as error:
                await self._database_outage.pause(error)
            except FAULTS as error:
                await self._redis_outage.pause(error)

    async def _look_for_vanished(
        self, redis: Any, database: Database, stream: RecordStream, position: str
    ) -> None:
        gone = await self._sweep.gone(redis, database)
        # What ended such a job may have been told between the last page and the look into Redis.
        if gone and (await stream.read(position)).last == position:
            self._leadership.check()
            await self._sweep.end(redis, database, gone)

    async def _position(self, database: Database) -> str:
        await prepare(database.target, self._migrate)
        async with database.read() as connection:
            position = await cursor(connection, self._key)
        self._database_outage.over()
        return position

    async def _write(self, database: Database, position: str, page: Page) -> str | None:
        """Write a page and return its end; None where another recorder has written meanwhile."""
        self._leadership.check()
        try:
            async with database.write() as connection:
                await advance(connection, self._key, position, page.last, self._leadership.epoch)
                await upsert(connection, page.rows, stream=self._key)
        except Fenced:
            logger.warning("recorder.fenced", extra={"position": position, "epoch": self._leadership.epoch})
            # Most often this term is about to end. It may be the later one by a clock that was set back, and go on.
            await asyncio.sleep(LONGEST_PAUSE)
            return None
        self._database_outage.over()
        self._figures.rows += len(page.rows)
        self._tell_lost(position, page)
        return page.last

    def _tell_lost(self, position: str, page: Page) -> None:
        if page.lost != 0:
            self._figures.lost += page.lost or 1
            logger.critical(
                "recorder.lost", extra={"entries": page.lost or "unknown", "after": position, "to": page.last}
            )


class DatabaseOutage:
    """The outage of one user of the database: logged when it begins and when it ends."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tries = 0

    async def pause(self, error: StoreError) -> None:
        """Note a call that failed, and sleep a little longer than the last time."""
        if self._since is None:
            self._since = time.monotonic()
            logger.error("recorder.database_away", extra={"error": str(error)})
        self._tries += 1
        ceiling = min(CEILING, 0.1 * 2 ** min(self._tries, 10))
        await asyncio.sleep(ceiling * (0.5 + random.random() / 2))  # noqa: S311 - jitter, not a secret

    def over(self) -> None:
        """End the outage, after a call that went well."""
        if self._since is not None:
            logger.info("recorder.database_back", extra={"seconds": round(time.monotonic() - self._since, 2)})
            self._since, self._tries = None, 0
