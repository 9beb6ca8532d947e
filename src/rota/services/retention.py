"""Keeps the audit table as short as AUDIT_RETENTION says: it deletes the jobs that finished before that."""

import asyncio
import contextlib
from collections.abc import Callable

from rota.store.engine import Database
from rota.store.faults import StoreError
from rota.store.retention import sweep

#: From one round to the next, in seconds.
EVERY = 300.0


class Retention:
    """The service of a leader that deletes old jobs from the audit table.

    :param open_database: opens the database, for this service alone.
    :param keep: seconds that a finished job is kept.
    """

    name = "retention"
    may_end = False

    def __init__(self, open_database: Callable[[], Database], keep: float) -> None:
        self._open_database = open_database
        self._keep = keep

    async def run(self) -> None:
        """Delete at once, and again and again, until cancelled."""
        database = self._open_database()
        try:
            while True:
                # The recorder logs that the database is away, and makes its tables. The next round comes soon.
                with contextlib.suppress(StoreError):
                    await sweep(database, self._keep)
                await asyncio.sleep(EVERY)
        finally:
            await database.close()
