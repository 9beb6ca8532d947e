"""Deletes finished jobs, and actions, once they are older than AUDIT_RETENTION, in portions that hold nobody up."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Delete, Select, delete, func, select

from rota.store.actions import deletion as actions_before
from rota.store.engine import Database
from rota.store.outbox.waiting import ended
from rota.store.schema import jobs, outbox

logger = logging.getLogger("rota.database")

#: Rows that one transaction deletes.
PORTION = 5_000


async def sweep(database: Database, keep: float, *, portion: int = PORTION) -> int:
    """Delete the jobs that finished more than `keep` seconds ago, and return how many. Raises StoreError.

    It may be cancelled at any time: what was deleted before stays deleted, and the rest is for the next time.
    """
    before = datetime.now(UTC) - timedelta(seconds=keep)
    deleted = 0
    while True:
        async with database.write() as connection:
            found = (await connection.scalars(oldest(before, portion))).all()
            if found:
                # The end of a job is in the table no longer, and its row would be taken for lost.
                await connection.execute(delete(outbox).where(outbox.c.id.in_(found), ended()))
                deleted += (await connection.execute(deletion(found, before))).rowcount
            if len(found) < portion:
                await connection.execute(actions_before(before))
                refused = (outbox.c.refused.is_not(None), outbox.c.created_at < before)
                await connection.execute(delete(outbox).where(*refused))
        if len(found) < portion:
            break
    if deleted:
        logger.info("database.swept", extra={"jobs": deleted})
    return deleted


def oldest(before: datetime, most: int) -> Select[Any]:
    """Return the statement that asks for the ids of jobs that finished before a time, the oldest first."""
    return select(jobs.c.id).where(jobs.c.finished_at < before).order_by(jobs.c.finished_at).limit(most)


def deletion(ids: Sequence[str], before: datetime) -> Delete:
    """Return the statement that deletes these jobs, unless they were enqueued again meanwhile and are not finished."""
    # Written so, the second condition has no index: PostgreSQL would go through all old jobs for each portion.
    finished = func.coalesce(jobs.c.finished_at, before)
    return delete(jobs).where(jobs.c.id.in_(ids), finished < before)
