"""The reconciler: asks what became of rows that were sent, removes those that are over, and sends again what is lost.

A row stays until the end of its job is in the audit table. A job that is neither there nor in Redis is lost, as by a
failover: its row waits again. That is said once the recorder has read all that was told before the look into Redis.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from rota.server.outage import FAULTS
from rota.services.outbox.service import OutboxService
from rota.services.records import order_of
from rota.store.audit import cursor
from rota.store.engine import Database
from rota.store.faults import StoreError
from rota.store.outbox import sent
from rota.store.outbox.sent import SentRow

logger = logging.getLogger("rota.outbox")

#: The rows of one look.
PORTION = 500
#: From one look to the next, in seconds, where the last found no whole portion.
EVERY = 2.0
#: How long the recorder is waited for, and from one look for its position to the next, in seconds.
PATIENCE, BETWEEN = 15.0, 0.25


class Reconciler(OutboxService):
    """The service that looks for what became of rows."""

    name = "outbox-reconciler"

    async def turn(self, redis: Any, database: Database) -> None:
        """Look for a portion of rows, and rest behind the last."""
        number = 0
        # Others log that Redis, or the database, is away.
        with contextlib.suppress(StoreError, *FAULTS):
            number = await self.look(redis, database)
        if number < PORTION:
            await asyncio.sleep(EVERY)

    async def look(self, redis: Any, database: Database) -> int:
        """Look for a portion of rows; return how many there were. Raises StoreError, and what redis-py raises."""
        async with database.read() as connection:
            rows, now = await sent.due(connection, self._keys.namespace, PORTION)
        if not rows:
            return 0
        over = [row for row in rows if row.is_over]
        others = [row for row in rows if not row.is_over]
        present = await self._keys.present(redis, [row.id for row in others])
        # What ended a job that is not there was told before this record.
        last = await self._keys.last_record(redis)
        missing = [row for row, is_there in zip(others, present, strict=True) if not is_there]
        self._leadership.check()
        async with database.write() as connection:
            await sent.drop_over(connection, over)
            await sent.look_later(connection, others, now)
        if missing:
            await self._send_again(database, missing, last)
        return len(rows)

    async def _send_again(self, database: Database, missing: Sequence[SentRow], last: str) -> None:
        if not await self._has_read(database, last):
            return
        self._leadership.check()
        async with database.write() as connection:
            again = await sent.set_back(connection, missing)
        if again:
            self._figures.again += again
            logger.error("outbox.jobs_lost", extra={"rows": again, "first": missing[0].id})

    async def _has_read(self, database: Database, last: str) -> bool:
        """Wait until the recorder has read the record `last`; tell whether it has."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            async with database.read() as connection:
                position = await cursor(connection, self._keys.records)
            if order_of(position) >= order_of(last):
                return True
            await asyncio.sleep(BETWEEN)
        return False
