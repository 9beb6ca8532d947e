"""Ends the rows of jobs that have vanished: Redis was emptied, or lost its last writes, and nothing of them is left.

It is a slow look at rows that are not over and of which nothing was told for an hour. A row is ended only if Redis has
neither the job's payload nor its record nor its dead letter, and if no record was written since that might tell why.
"""

import logging
from collections.abc import Sequence
from typing import Any

from rota.model.audit.columns import place_of, time_of
from rota.model.audit.folding import VANISHED
from rota.process.clock import SYSTEM_CLOCK, Clock
from rota.store.engine import Database
from rota.store.vanished import Unfinished, end, unfinished
from rota.wire.claims import ms_of
from rota.wire.keys import JOB, RESULT, QueueKeys, queue_key

logger = logging.getLogger("rota.recorder")

#: From one look at all rows to the next, and from one page to the next, in seconds.
EVERY, BETWEEN = 600.0, 1.0
#: For how long nothing was told of a job before it is looked for, in milliseconds.
SILENCE = 3_600_000
#: The rows of a page.
_PAGE = 500


class Sweep:
    """One look after the other at the rows of jobs that are not over.

    :param silence: for how long nothing was told of a job before it is looked for, in milliseconds.
    """

    def __init__(self, *, silence: int = SILENCE, clock: Clock = SYSTEM_CLOCK) -> None:
        self._silence = silence
        self._clock = clock
        self._due = clock.monotonic() + BETWEEN
        self._after = ""

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next page."""
        return self._clock.monotonic() >= self._due

    async def gone(self, redis: Any, database: Database) -> list[Unfinished]:
        """Return the jobs of the next page that are not in Redis. Raises StoreError, and what redis-py raises."""
        now = ms_of(await redis.time())
        before = place_of(f"{max(0, now - self._silence)}-0.0")
        async with database.read() as connection:
            page = await unfinished(connection, before=before, after=self._after, most=_PAGE)
        whole = len(page) == _PAGE
        found = await self._missing(redis, page)
        self._after = page[-1].id if whole else ""
        self._due = self._clock.monotonic() + (BETWEEN if whole else EVERY)
        return found

    async def end(self, redis: Any, database: Database, gone: Sequence[Unfinished]) -> None:
        """End the rows of these jobs. Raises StoreError, and what redis-py raises."""
        at = time_of(ms_of(await redis.time()))
        if at is None:
            return
        async with database.write() as connection:
            ended = await end(connection, gone, at, VANISHED)
        if ended:
            logger.error("recorder.vanished", extra={"jobs": ended, "first": gone[0].id})

    async def _missing(self, redis: Any, page: Sequence[Unfinished]) -> list[Unfinished]:
        # An id that was escaped or cut to fit its column is not the one in Redis.
        known = [one for one in page if one.id.isascii() and "\\" not in one.id]
        if not known:
            return []
        pipe = redis.pipeline(transaction=False)
        for one in known:
            letter = f"{QueueKeys.of(queue_key(one.queue)).dead}:{one.id}"
            pipe.exists(JOB + one.id, RESULT + one.id, letter)
        counts = await pipe.execute()
        return [one for one, count in zip(known, counts, strict=True) if count == 0]
