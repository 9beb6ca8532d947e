"""The relay: sends rows of the outbox to Redis, where they become jobs, once each.

A row is held by its transaction, its job is put by a script that leaves a mark of the row, and then the row is written
down as sent. A relay that is killed between the two leaves the mark: the next to send the row gets the same answer, and
nothing is put. A row waits as long as Redis is away or full, and the database is the one to remember it.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any

from rota.server.outage import FAULTS, Outage
from rota.services.leadership import LeadershipLost
from rota.services.outbox.sending import Way, key_of, mark_of, write_down
from rota.services.outbox.service import OutboxService
from rota.store.engine import Database
from rota.store.faults import StoreError
from rota.store.outbox import sent, waiting
from rota.wire.leading.outbox import NotRecorded, Reborn, Superseded

logger = logging.getLogger("rota.outbox")

#: The rows of one transaction.
PORTION = 500
#: The longest pause between two looks, in seconds, where nobody rings.
EVERY = 1.0
#: From one count of what waits to the next, in seconds.
COUNT_EVERY = 5.0
#: What the recorder has read of a Redis that was emptied, it writes within this time, in seconds.
GRACE = 1.0


class Relay(OutboxService):
    """The service that sends rows."""

    name = "outbox"
    _birth: str | None
    _counted: float
    _outage: Outage

    async def run(self) -> None:
        """Send until cancelled, or until the term is over."""
        # What went on before, also in a run of this service that failed, is looked at again.
        self._birth, self._counted, self._outage = None, 0.0, Outage("outbox")
        try:
            await super().run()
        finally:
            self._figures.forget()

    async def turn(self, redis: Any, database: Database) -> None:
        """Send a portion of rows, or wait for some."""
        self._leadership.check()
        try:
            if not await self._round(redis, database):
                await self._keys.hear(redis, EVERY)
        # After a fault it is not known whether the last portion is written down: its marks are looked at again.
        except StoreError:
            # The recorder logs that the database is away, and makes its tables.
            self._birth = None
            await asyncio.sleep(EVERY)
        except FAULTS as error:
            self._birth = None
            with contextlib.suppress(StoreError):
                await self._look(database)
            await self._outage.pause(error)
        except Reborn:
            self._birth = None
        except NotRecorded:
            await asyncio.sleep(EVERY / 4)
        except Superseded:
            raise LeadershipLost(self._leadership.epoch) from None

    async def _round(self, redis: Any, database: Database) -> bool:
        """Send a portion; tell whether there may be more."""
        birth = await self._keys.birth(redis)
        if birth != self._birth:
            await self._forget_marks(redis, database)
            await self._set_back(database, birth)
            self._birth = birth
        if not await self._look(database):
            self._outage.over()
            return False
        number = await self._send_portion(redis, database, birth)
        self._outage.over()
        return number == PORTION

    async def _send_portion(self, redis: Any, database: Database, birth: str) -> int:
        namespace = self._keys.namespace
        async with database.write() as connection:
            rows = await waiting.lock_waiting(connection, namespace, PORTION)
            if not rows:
                return 0
            fates = await Way(redis, self._keys, birth, self._leadership).send(rows)
            await write_down(connection, fates, namespace=namespace, birth=birth, now=rows[0]["now"])
        for key, why in fates.refused.items():
            logger.error("outbox.row_refused", extra={"row": key, "error": why})
        self._figures.sent += sum(map(len, fates.sent.values()))
        self._figures.refused += len(fates.refused)
        known = fates.known
        await self._keys.forget(
            redis, [mark_of(row["key"], row["sends"]) for row in rows if row["key"] in known]
        )
        if fates.stopped_by is not None:
            raise fates.stopped_by
        return len(rows)

    async def _forget_marks(self, redis: Any, database: Database) -> None:
        """Remove the marks of rows of which the database knows: those of a relay that was killed before it did."""
        marks = await self._keys.marks(redis)
        for first in range(0, len(marks), PORTION):
            some = marks[first : first + PORTION]
            async with database.read() as connection:
                unsent = await waiting.still_unsent(connection, [key_of(mark)[0] for mark in some])
            await self._keys.forget(
                redis, [mark for mark in some if unsent.get(key_of(mark)[0]) != key_of(mark)[1]]
            )

    async def _set_back(self, database: Database, birth: str) -> None:
        """Let wait again what was sent to a Redis that was emptied, or another one."""
        async with database.read() as connection:
            if not await sent.has_of_others(connection, self._keys.namespace, birth):
                return
        await asyncio.sleep(GRACE)
        last: str | None = ""
        again = 0
        while last is not None:
            self._leadership.check()
            async with database.write() as connection:
                last, number = await sent.set_back_of_others(connection, self._keys.namespace, birth, last)
            again += number
        if again:
            self._figures.again += again
            logger.error("outbox.redis_emptied", extra={"rows": again})

    async def _look(self, database: Database) -> bool:
        """Tell whether rows wait, and note how many, and for how long."""
        async with database.read() as connection:
            oldest = await waiting.oldest_waiting(connection, self._keys.namespace)
            self._figures.oldest = oldest or 0.0
            if oldest is None:
                self._figures.waiting = 0
            elif time.monotonic() - self._counted >= COUNT_EVERY:
                self._counted = time.monotonic()
                self._figures.waiting = await waiting.count_waiting(connection, self._keys.namespace)
        return oldest is not None
