"""The figures of the database that people look at: how large the table of jobs is, how far back it goes, what waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.outbox.waiting import Backlog, backlogs, count_refused
from rota.store.schema import jobs

_SQLITE = text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
_POSTGRES = text("SELECT pg_total_relation_size('_jobs')")


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """The bytes that the table of jobs takes, the file of SQLite as a whole, and what is in it and in the outbox.

    :param oldest: when the first job of the table was enqueued; None: it is empty.
    :param waiting: the rows of the outbox that wait, by their namespaces.
    :param refused: how many rows of it were refused.
    """

    bytes: int
    oldest: datetime | None
    waiting: Mapping[str, Backlog]
    refused: int


async def figures_of(connection: AsyncConnection) -> StoreFigures:
    """Return the figures as they are now."""
    is_sqlite = connection.dialect.name == "sqlite"
    size = await connection.scalar(_SQLITE if is_sqlite else _POSTGRES)
    first: datetime | None = await connection.scalar(oldest())
    return StoreFigures(int(size or 0), first, await backlogs(connection), await count_refused(connection))


def oldest() -> Select[Any]:
    """Return the statement that asks when the first job was enqueued, from the far end of an index."""
    return select(jobs.c.enqueued_at).order_by(jobs.c.enqueued_at, jobs.c.id).limit(1)
