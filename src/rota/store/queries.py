"""The questions to the table of jobs: one job, lists of jobs from the newest on, and how many have which status.

Each is answered by an index that was made for it, also among millions of rows; a test holds that. Conditions that an
index does not have are looked for among the newest 100,000 to which it leads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    case,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.store.schema import Row, jobs
from rota.store.values import stored

#: What a list leaves out: each of these may be a megabyte.
_LARGE = frozenset({"payload", "result", "log", "error"})
#: The beginning of an error is in it, in characters; and a payload, where it is asked for and not longer than this.
_ERROR, LONGEST_PAYLOAD = 500, 65_536
_LISTED = [
    *(column for column in jobs.c if column.name not in _LARGE),
    func.substr(jobs.c.error, 1, _ERROR).label("error"),
]
_PAYLOAD = case((func.length(jobs.c.payload) <= LONGEST_PAYLOAD, jobs.c.payload)).label("payload")
#: Columns by which an index leads to the newest, the first that is given; `queue` goes with `status`.
_INDEXED = (("error_key",), ("flow",), ("queue", "status"), ("name",), ("tenant",))
#: The statuses of jobs that are over.
_OVER = ("COMPLETED", "FAILED", "CANCELLED")
_STATUSES = ("PENDING", "RUNNING", *_OVER)
#: The most rows of an index among which the other conditions are looked for, and that are counted.
LOOKED_AT, COUNTED = 100_000, 10_000
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


async def some_jobs(
    connection: AsyncConnection, ids: Sequence[str], *, tenant: str | None = None
) -> list[Row]:
    """Return the rows of these jobs, in no order, without what is large; with a tenant, those of its jobs."""
    question = some(ids)
    if tenant is not None:
        question = question.where(jobs.c.tenant == stored("tenant", tenant))
    return [dict(one) for one in (await connection.execute(question)).mappings()]


def some(ids: Sequence[str]) -> Select[Any]:
    """Return the statement that asks for the jobs of these ids."""
    return select(*_LISTED).where(jobs.c.id.in_([stored("id", one) for one in ids]))


async def list_jobs(
    connection: AsyncConnection,
    wanted: Wanted,
    *,
    after: Position | None = None,
    limit: int = 50,
    newer: bool = False,
    payloads: bool = False,
) -> list[Row]:
    """Return the newest jobs that are `wanted`, or those after a place, without payloads, results and logs.

    Of errors the beginning is there. A page begins behind a place and not at a number, so that jobs which come
    meanwhile move nothing. With `newer` the page lies before the place, and its first job is the one that is nearest;
    with `payloads` those that are not large are there.
    """
    found = await connection.execute(page(wanted, after, limit, newer=newer, payloads=payloads))
    return [dict(one) for one in found.mappings()]


def page(
    wanted: Wanted, after: Position | None, limit: int, *, newer: bool = False, payloads: bool = False
) -> Select[Any]:
    """Return the statement that asks for a page of a list."""
    columns = [*_LISTED, _PAYLOAD] if payloads else _LISTED
    others = _unindexed(wanted)
    if _is_of_queue(wanted):
        return _page_of_queue(wanted, after, columns, limit, newer=newer)
    near = _near(wanted, after, columns, newer=newer)
    if not others:
        return near.limit(limit)
    # The rows come in the order in which they are looked at; to sort them again, PostgreSQL would first read them all.
    among = near.limit(LOOKED_AT).subquery()
    return select(among).where(*_conditions(among.c, wanted, others)).limit(limit)


async def end_of_look(
    connection: AsyncConnection, wanted: Wanted, *, after: Position | None = None, newer: bool = False
) -> Position | None:
    """Return up to where a page that is not full was looked for; None where no job lies behind."""
    if not _unindexed(wanted) or _is_of_queue(wanted):
        return None
    near = _near(wanted, after, [jobs.c.enqueued_at, jobs.c.id], newer=newer)
    found = (await connection.execute(near.offset(LOOKED_AT - 1).limit(1))).first()
    return None if found is None else Position(found.enqueued_at, found.id)


def _is_of_queue(wanted: Wanted) -> bool:
    return _unindexed(wanted) == ("queue",) and not _indexed(wanted)


def _page_of_queue(
    wanted: Wanted, after: Position | None, columns: Sequence[Any], limit: int, *, newer: bool
) -> Select[Any]:
    """Return the statement for a queue: its index has the status before the time, so each status is asked for."""
    each = (
        _near(replace(wanted, status=one), after, columns, newer=newer).limit(limit).subquery()
        for one in _STATUSES
    )
    of_all = union_all(*(select(one) for one in each)).subquery()
    return _ordered(select(of_all), of_all.c, newer=newer).limit(limit)


def _near(wanted: Wanted, after: Position | None, columns: Sequence[Any], *, newer: bool) -> Select[Any]:
    """Return the statement that asks for the rows behind a place among which a page is looked for."""
    question = select(*columns).where(*_conditions(jobs.c, wanted, _indexed(wanted)), *_times(wanted))
    if after is not None:
        place, begin = (
            tuple_(jobs.c.enqueued_at, jobs.c.id),
            tuple_(after.enqueued_at, stored("id", after.id)),
        )
        question = question.where(place > begin if newer else place < begin)
    return _ordered(question, jobs.c, newer=newer)


def _ordered(question: Select[Any], columns: Any, *, newer: bool) -> Select[Any]:
    if newer:
        return question.order_by(columns.enqueued_at.asc(), columns.id.asc())
    return question.order_by(columns.enqueued_at.desc(), columns.id.desc())


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
        .where(*_conditions(jobs.c, Wanted(queue=queue, name=name), ("queue", "name")))
        .order_by(jobs.c.enqueued_at.desc(), jobs.c.id.desc())
        .limit(most)
        .subquery()
        for name in names
    )
    return union_all(*(select(one) for one in each))


async def count_by_status(connection: AsyncConnection, queues: Sequence[str]) -> dict[str, int]:
    """Return how many jobs of some queues have ended in each way, at most 10,000 of each."""
    return {one: (await connection.execute(count(queues, one))).scalar_one() for one in _OVER}


def count(queues: Sequence[str], status: str) -> Select[Any]:
    """Return the statement that counts the jobs of some queues that have a status."""
    known = jobs.c.queue.in_([stored("queue", one) for one in queues])
    wanted = select(jobs.c.status).where(known, jobs.c.status == status).limit(COUNTED)
    return select(func.count()).select_from(wanted.subquery())


def _indexed(wanted: Wanted) -> tuple[str, ...]:
    """Return the conditions by which an index leads to the newest jobs."""
    return next((one for one in _INDEXED if all(getattr(wanted, name) is not None for name in one)), ())


def _unindexed(wanted: Wanted) -> tuple[str, ...]:
    indexed = _indexed(wanted)
    named = ("tenant", "queue", "status", "name", "error_key", "flow")
    return tuple(name for name in named if name not in indexed and getattr(wanted, name) is not None)


def _conditions(columns: Any, wanted: Wanted, names: Sequence[str]) -> Sequence[ColumnElement[bool]]:
    found = [columns[name] == stored(name, getattr(wanted, name)) for name in names]
    if "error_key" in names:
        # The index of errors has failed jobs alone.
        found.append(columns.status == literal_column("'FAILED'"))
    return found


def _times(wanted: Wanted) -> Sequence[ColumnElement[bool]]:
    since = [] if wanted.since is None else [jobs.c.enqueued_at >= wanted.since]
    return since if wanted.until is None else [*since, jobs.c.enqueued_at < wanted.until]
