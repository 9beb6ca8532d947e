"""Finds the rows of jobs that are not over, and ends those of which nothing is left in Redis."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.schema import jobs, outbox


class Unfinished(NamedTuple):
    """The row of a job that is not over: its id, its queue, and its last event."""

    id: str
    queue: str
    event: str


async def unfinished(
    connection: AsyncConnection, *, before: str, after: str, most: int
) -> Sequence[Unfinished]:
    """Return `most` jobs that are not over, behind the id `after`, whose last event is earlier than `before`.

    Those of an outbox are left out: where they have vanished, their rows are sent again.
    """
    sent = select(outbox.c.id).where(outbox.c.id == jobs.c.id, outbox.c.sent_at.is_not(None)).exists()
    found = await connection.execute(
        select(jobs.c.id, jobs.c.queue, jobs.c.event)
        .where(jobs.c.finished_at.is_(None), jobs.c.id > after, jobs.c.event < before, ~sent)
        .order_by(jobs.c.id)
        .limit(most)
    )
    return [Unfinished(*row) for row in found]


async def end(connection: AsyncConnection, gone: Sequence[Unfinished], at: datetime, reason: str) -> int:
    """End these rows as failed, if no event has reached them since; return how many there were."""
    ended = 0
    statement = (
        update(jobs)
        .where(jobs.c.id == bindparam("which"), jobs.c.event == bindparam("last"))
        .values(status="FAILED", reason=reason, finished_at=at)
    )
    for one in gone:
        ended += (await connection.execute(statement, {"which": one.id, "last": one.event})).rowcount
    return ended
