"""The questions to the table of jobs: one job, lists of jobs from the newest on, and how many have which status.

Each is answered by an index that was made for it, also among millions of rows; a test holds that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, func, literal_column, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.schema import Row, jobs
from rota.store.values import stored

#: What a list leaves out: each of these may be a megabyte.
_LARGE = frozenset({"payload", "result", "log", "error"})
_LISTED = [column for column in jobs.c if column.name not in _LARGE]
#: What tells what became of a job, and when.
_BECAME = (jobs.c.name, jobs.c.status, jobs.c.enqueued_at, jobs.c.started_at, jobs.c.finished_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The conditions of a list of jobs; None: anything. `since` and `until` are of their enqueueing."""

    tenant: str | None = None
    queue: str | None = None
    status: str | None = None
    name: str | None = None
    error_key: str | None = None
    flow: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a job in a list, behind which the next page begins."""

    enqueued_at: datetime
    id: str

    @classmethod
    def of(cls, row: Row) -> "Position":
        """Return the place of a row that a list has returned."""
        return cls(row["enqueued_at"], row["id"])


async def one_job(connection: AsyncConnection, job_id: str, *, tenant: str | None = None) -> Row | None:
    """Return the row of a job, with everything; None if there is none, or it is another tenant's than `tenant`."""
    question = select(jobs).where(jobs.c.id == stored("id", job_id))
    if tenant is not None:
        question = question.where(jobs.c.tenant == stored("tenant", tenant))
    found = (await connection.execute(question)).mappings().first()
    return dict(found) if found else None


async def some_jobs(connection: AsyncConnection, ids: Sequence[str]) -> list[Row]:
    """Return the rows of these jobs, in no order, without payloads, results, errors and logs."""
    found = await connection.execute(some(ids))
    return [dict(one) for one in found.mappings()]


def some(ids: Sequence[str]) -> Select[Any]:
    """Return the statement that asks for the jobs of these ids."""
    return select(*_LISTED).where(jobs.c.id.in_([stored("id", one) for one in ids]))


async def list_jobs(
    connection: AsyncConnection, wanted: Wanted, *, after: Position | None = None, limit: int = 50
) -> list[Row]:
    """Return the newest jobs that are `wanted`, or those after a place, without payloads, results, errors and logs.

    A page begins behind a place and not at a number, so that jobs which come meanwhile move nothing.
    """
    found = await connection.execute(page(wanted, after, limit))
    return [dict(one) for one in found.mappings()]


def page(wanted: Wanted, after: Position | None, limit: int) -> Select[Any]:
    """Return the statement that asks for a page of a list."""
    question = select(*_LISTED).where(*_conditions(wanted))
    if after is not None:
        place = tuple_(jobs.c.enqueued_at, jobs.c.id)
        question = question.where(place < tuple_(after.enqueued_at, stored("id", after.id)))
    return question.order_by(jobs.c.enqueued_at.desc(), jobs.c.id.desc()).limit(limit)


async def next_job(
    connection: AsyncConnection, wanted: Wanted, place: Position, *, newer: bool
) -> Row | None:
    """Return the job that stands next to a place in a list, the newer or the older one; None at the list's end."""
    question = beside(wanted, place) if newer else page(wanted, place, 1)
    found = (await connection.execute(question)).mappings().first()
    return dict(found) if found else None


def beside(wanted: Wanted, place: Position) -> Select[Any]:
    """Return the statement that asks for the job before a place in a list, which is the next newer one."""
    here = tuple_(jobs.c.enqueued_at, jobs.c.id) > tuple_(place.enqueued_at, stored("id", place.id))
    question = select(*_LISTED).where(*_conditions(wanted), here)
    return question.order_by(jobs.c.enqueued_at, jobs.c.id).limit(1)


async def newest_by_name(
    connection: AsyncConnection, queue: str, names: Sequence[str], most: int
) -> list[Row]:
    """Return what became of the newest jobs of each of some names on a queue, and when; at most `most` of each."""
    found = await connection.execute(newest(queue, names, most)) if names else None
    return [] if found is None else [dict(one) for one in found.mappings()]


def newest(queue: str, names: Sequence[str], most: int) -> CompoundSelect[Any]:
    """Return the statement that asks for the newest jobs of each name."""
    each = (
        select(*_BECAME)
        .where(*_conditions(Wanted(queue=queue, name=name)))
        .order_by(jobs.c.enqueued_at.desc(), jobs.c.id.desc())
        .limit(most)
        .subquery()
        for name in names
    )
    return union_all(*(select(one) for one in each))


async def count_by_status(connection: AsyncConnection, wanted: Wanted) -> dict[str, int]:
    """Return how many of the jobs that are `wanted` have each status; those that none has are left out."""
    found = await connection.execute(counts(wanted))
    return {one.status: one[1] for one in found}


def counts(wanted: Wanted) -> Select[Any]:
    """Return the statement that counts jobs by their status."""
    return select(jobs.c.status, func.count()).where(*_conditions(wanted)).group_by(jobs.c.status)


def _conditions(wanted: Wanted) -> Sequence[ColumnElement[bool]]:
    named = ("tenant", "queue", "status", "name", "error_key", "flow")
    found = [
        jobs.c[name] == stored(name, getattr(wanted, name))
        for name in named
        if getattr(wanted, name) is not None
    ]
    if wanted.error_key is not None:
        # The index of errors has failed jobs alone.
        found.append(jobs.c.status == literal_column("'FAILED'"))
    if wanted.since is not None:
        found.append(jobs.c.enqueued_at >= wanted.since)
    if wanted.until is not None:
        found.append(jobs.c.enqueued_at < wanted.until)
    return found
